"""Proximal policy optimisation (Schulman et al., 2017) on a cart-pole that is part of the program: environments are
mapped with vmap, episodes run in a scan, and the whole of an update is one compiled function."""

import json
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax, nn, random

ENVIRONMENTS, STEPS, EPOCHS, MINIBATCHES = 16, 64, 3, 4


class State(NamedTuple):
    """Where the poles are."""

    position: jax.Array
    velocity: jax.Array
    angle: jax.Array
    turning: jax.Array
    time: jax.Array


def reset(key):
    return State(*random.uniform(key, (4,), minval=-0.05, maxval=0.05), time=jnp.int32(0))


def observe(s):
    return jnp.stack([s.position, s.velocity, s.angle, s.turning])


def step_environment(key, s, action):
    """Barto, Sutton and Anderson's equations (1983), Euler's steps of 0.02 s; a new episode where one ends."""
    force = jnp.where(action == 1, 10.0, -10.0)
    sin, cos = jnp.sin(s.angle), jnp.cos(s.angle)
    push = (force + 0.05 * s.turning**2 * sin) / 1.1
    spin = (9.8 * sin - cos * push) / (0.5 * (4 / 3 - 0.1 * cos**2 / 1.1))
    speed = push - 0.05 * spin * cos / 1.1
    new = State(
        s.position + 0.02 * s.velocity,
        s.velocity + 0.02 * speed,
        s.angle + 0.02 * s.turning,
        s.turning + 0.02 * spin,
        s.time + 1,
    )
    done = (jnp.abs(new.position) > 2.4) | (jnp.abs(new.angle) > 0.2095) | (new.time >= 200)
    return jax.tree.map(lambda a, b: jnp.where(done, a, b), reset(key), new), 1.0, done


def init(key):
    sizes = [(4, 32), (32, 32), (32, 3)]
    return [
        (random.normal(k, s) * jnp.sqrt(2 / s[0]) * (0.1 if s[1] == 3 else 1.0), jnp.zeros(s[1]))
        for k, s in zip(random.split(key, 3), sizes)
    ]


def network(params, x):
    for w, b in params[:-1]:
        x = jnp.tanh(x @ w + b)
    out = x @ params[-1][0] + params[-1][1]
    return nn.log_softmax(out[..., :2]), out[..., 2]


def rollout(params, states, key):
    def step(states, key):
        x = jax.vmap(observe)(states)
        logits, value = network(params, x)
        k1, k2 = random.split(key)
        action = random.categorical(k1, logits)
        new, reward, done = jax.vmap(step_environment)(random.split(k2, ENVIRONMENTS), states, action)
        chosen = jnp.take_along_axis(logits, action[:, None], -1)[:, 0]
        return new, (x, action, chosen, value, jnp.broadcast_to(reward, done.shape), done)

    return lax.scan(step, states, random.split(key, STEPS))


def advantages(values, rewards, dones, last, gamma=0.99, decay=0.95):
    """Generalised advantage estimates, from the last step to the first."""

    def back(carry, given):
        advantage, after = carry
        value, reward, done = given
        alive = 1.0 - done
        delta = reward + gamma * after * alive - value
        advantage = delta + gamma * decay * alive * advantage
        return (advantage, value), advantage

    _, out = lax.scan(back, (jnp.zeros_like(last), last), (values, rewards, dones), reverse=True)
    return out


def loss(params, batch):
    x, action, before, advantage, target = batch
    logits, value = network(params, x)
    chosen = jnp.take_along_axis(logits, action[:, None], -1)[:, 0]
    ratio = jnp.exp(chosen - before)
    advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    policy = jnp.minimum(ratio * advantage, jnp.clip(ratio, 0.8, 1.2) * advantage).mean()
    entropy = -(jnp.exp(logits) * logits).sum(-1).mean()
    return -policy + 0.5 * ((value - target) ** 2).mean() - 0.01 * entropy


@partial(jax.jit, donate_argnums=(0, 1))
def update(params, momentum, states, key):
    k1, k2 = random.split(key)
    states, (x, action, chosen, value, reward, done) = rollout(params, states, k1)
    last = network(params, jax.vmap(observe)(states))[1]
    advantage = advantages(value, reward, done, last)
    data = jax.tree.map(
        lambda a: a.reshape(-1, *a.shape[2:]), (x, action, chosen, advantage, advantage + value)
    )

    def epoch(carry, key):
        order = random.permutation(key, ENVIRONMENTS * STEPS).reshape(MINIBATCHES, -1)

        def minibatch(carry, chosen):
            params, momentum = carry
            grads = jax.grad(loss)(params, jax.tree.map(lambda a: a[chosen], data))
            momentum = jax.tree.map(lambda m, g: 0.9 * m + g, momentum, grads)
            return (jax.tree.map(lambda p, m: p - 0.003 * m, params, momentum), momentum), None

        return lax.scan(minibatch, carry, order)[0], None

    (params, momentum), _ = lax.scan(epoch, (params, momentum), random.split(k2, EPOCHS))
    return params, momentum, states, reward.sum() / jnp.maximum(done.sum(), 1)


def main():
    key = random.PRNGKey(0)
    params = init(key)
    momentum = jax.tree.map(jnp.zeros_like, params)
    states = jax.vmap(reset)(random.split(key, ENVIRONMENTS))
    lengths = []
    for i in range(12):
        params, momentum, states, length = update(params, momentum, states, random.fold_in(key, i))
        lengths.append(float(length))
    return {"start": lengths[0], "third": lengths[2]}


if __name__ == "__main__":
    print(json.dumps(main()))
