"""Differentially private SGD (Abadi et al., 2016): gradients of single examples by vmap of grad, each clipped, with noise."""

import json

import jax
import jax.numpy as jnp
from jax import lax, nn, random
from jax.flatten_util import ravel_pytree

CLIP, NOISE, RATE, BATCH = 1.0, 0.5, 0.5, 64


def init(key):
    k1, k2 = random.split(key)
    return {
        "w1": random.normal(k1, (10, 32)) * 0.3,
        "b1": jnp.zeros(32),
        "w2": random.normal(k2, (32, 3)) * 0.2,
    }


def loss(params, x, label):
    logits = jnp.tanh(x @ params["w1"] + params["b1"]) @ params["w2"]
    return -jnp.sum(nn.one_hot(label, 3) * nn.log_softmax(logits))


def clipped(params, x, label):
    grads = jax.grad(loss)(params, x, label)
    norm = jnp.sqrt(sum(jnp.sum(g**2) for g in jax.tree.leaves(grads)))
    return jax.tree.map(lambda g: g / jnp.maximum(1.0, norm / CLIP), grads), norm


@jax.jit
def step(params, key, x, labels):
    grads, norms = jax.vmap(clipped, in_axes=(None, 0, 0))(params, x, labels)
    flat, unravel = ravel_pytree(jax.tree.map(lambda g: g.sum(0), grads))
    noisy = unravel(flat + NOISE * CLIP * random.normal(key, flat.shape))
    return jax.tree.map(lambda p, g: p - RATE * g / len(x), params, noisy), norms


def main():
    k1, k2, k3 = random.split(random.PRNGKey(0), 3)
    centres = 2 * random.normal(k1, (3, 10))
    labels = random.randint(k2, (512,), 0, 3)
    x = centres[labels] + random.normal(k3, (512, 10))
    params = init(k1)
    start = float(jax.vmap(loss, (None, 0, 0))(params, x, labels).mean())
    for i in range(60):
        key = random.fold_in(k2, i)
        chosen = random.choice(key, 512, (BATCH,), replace=False)
        params, norms = step(params, random.fold_in(key, 1), x[chosen], labels[chosen])
    logits = jnp.tanh(x @ params["w1"] + params["b1"]) @ params["w2"]
    per_class = lax.map(lambda c: jnp.mean(jnp.where(labels == c, logits.argmax(-1) == c, 0)), jnp.arange(3))
    return {
        "start": start,
        "end": float(jax.vmap(loss, (None, 0, 0))(params, x, labels).mean()),
        "norms": float(norms.mean()),
        "accuracy": float(per_class.sum()),
    }


if __name__ == "__main__":
    print(json.dumps(main()))
