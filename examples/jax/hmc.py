"""Hamiltonian Monte Carlo (Neal, 2011) for a hierarchical model of eight schools, four chains side by side, the step
size adapted by dual averaging (Hoffman and Gelman, 2014)."""

import json

import jax
import jax.numpy as jnp
from jax import lax, random
from jax.scipy.stats import norm

EFFECT = jnp.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERROR = jnp.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def log_density(p):
    """Rubin's model (1981) in its non-centred form."""
    tau = jnp.exp(p["log_tau"])
    prior = norm.logpdf(p["mu"], 0, 5) + norm.logpdf(p["log_tau"], 1, 1) + norm.logpdf(p["theta"]).sum()
    return prior + norm.logpdf(EFFECT, p["mu"] + tau * p["theta"], ERROR).sum()


def leapfrog(p, momentum, size, count):
    def kick(momentum, p, scale):
        return jax.tree.map(lambda m, g: m + scale * size * g, momentum, jax.grad(log_density)(p))

    def step(_, state):
        p, momentum = state
        momentum = kick(momentum, p, 0.5)
        p = jax.tree.map(lambda a, m: a + size * m, p, momentum)
        return p, kick(momentum, p, 0.5)

    return lax.fori_loop(0, count, step, (p, momentum))


def energy(p, momentum):
    return -log_density(p) + 0.5 * sum(jnp.vdot(m, m) for m in jax.tree.leaves(momentum))


def transition(key, p, size):
    k1, k2, k3 = random.split(key, 3)
    leaves, structure = jax.tree.flatten(p)
    draws = [random.normal(k, a.shape) for k, a in zip(random.split(k1, len(leaves)), leaves)]
    momentum = jax.tree.unflatten(structure, draws)
    count = random.randint(k2, (), 5, 20)
    new, after = leapfrog(p, momentum, size, count)
    accept = jnp.minimum(1.0, jnp.exp(energy(p, momentum) - energy(new, after)))
    accept = jnp.where(jnp.isnan(accept), 0.0, accept)
    taken = random.uniform(k3) < accept
    return jax.tree.map(lambda a, b: jnp.where(taken, a, b), new, p), accept


def warm_up(key, p, steps=150, target=0.8):
    def step(state, given):
        p, log_size, average, error = state
        key, i = given
        p, accept = transition(key, p, jnp.exp(log_size))
        error = error + (target - accept - error) / (i + 10.0)
        log_size = jnp.log(1.0) - jnp.sqrt(i) / 0.05 * error
        weight = i**-0.75
        return (p, log_size, weight * log_size + (1 - weight) * average, error), accept

    start = (p, jnp.log(0.1), jnp.array(0.0), jnp.array(0.0))
    (p, _, average, _), _ = lax.scan(step, start, (random.split(key, steps), jnp.arange(1.0, steps + 1)))
    return p, jnp.exp(average)


@jax.jit
def sample(key, p):
    k1, k2 = random.split(key)
    p, size = warm_up(k1, p)

    def step(p, key):
        p, accept = transition(key, p, size)
        return p, (p, accept)

    _, (draws, accept) = lax.scan(step, p, random.split(k2, 150))
    return draws, accept.mean(), size


def main():
    key = random.PRNGKey(3)
    start = {"mu": jnp.zeros(4), "log_tau": jnp.ones(4), "theta": 0.1 * random.normal(key, (4, 8))}
    draws, accept, size = jax.vmap(sample)(random.split(key, 4), start)
    return {
        "log_density": float(log_density(jax.tree.map(lambda a: a[0], start))),
        "accept": float(accept.mean()),
        "size": float(size.mean()),
        "mu": float(draws["mu"].mean()),
        "tau": float(jnp.exp(draws["log_tau"]).mean()),
    }


if __name__ == "__main__":
    print(json.dumps(main()))
