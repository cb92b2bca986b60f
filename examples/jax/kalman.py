"""A Kalman filter (1960) and the Rauch-Tung-Striebel smoother (1965) as scans; the noise of the model is learned by the
gradient of the likelihood, for a batch of paths at once."""

import json

import jax
import jax.numpy as jnp
from jax import lax, random
from jax.scipy.stats import multivariate_normal

A = jnp.array([[1.0, 0.1, 0.0, 0.0], [0.0, 0.98, 0.0, 0.0], [0.0, 0.0, 1.0, 0.1], [0.0, 0.0, 0.0, 0.98]])
C = jnp.array([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])


def noises(params):
    return jnp.exp(params["process"]) * jnp.eye(4), jnp.exp(params["seen"]) * jnp.eye(2)


def filter_path(params, seen):
    Q, R = noises(params)

    def step(carry, y):
        mean, cov = carry
        mean, cov = A @ mean, A @ cov @ A.T + Q
        S = C @ cov @ C.T + R
        gain = jnp.linalg.solve(S, C @ cov).T
        log_likelihood = multivariate_normal.logpdf(y, C @ mean, S)
        new = mean + gain @ (y - C @ mean), (jnp.eye(4) - gain @ C) @ cov
        return new, (*new, log_likelihood)

    start = jnp.zeros(4), jnp.eye(4)
    return lax.scan(step, start, seen)[1]


def smooth(params, means, covs):
    Q, _ = noises(params)

    def back(carry, given):
        mean, cov = given
        ahead = A @ cov @ A.T + Q
        gain = jnp.linalg.solve(ahead, A @ cov).T
        mean = mean + gain @ (carry[0] - A @ mean)
        cov = cov + gain @ (carry[1] - ahead) @ gain.T
        return (mean, cov), mean

    last = means[-1], covs[-1]
    return jnp.concatenate([lax.scan(back, last, (means[:-1], covs[:-1]), reverse=True)[1], means[-1:]])


def simulate(key):
    def step(x, key):
        k1, k2 = random.split(key)
        x = A @ x + 0.1 * random.normal(k1, (4,))
        return x, (x, C @ x + 0.3 * random.normal(k2, (2,)))

    return lax.scan(step, jnp.zeros(4), random.split(key, 80))[1]


def main():
    states, seen = jax.vmap(simulate)(random.split(random.PRNGKey(0), 6))

    def loss(params):
        return -jax.vmap(filter_path, (None, 0))(params, seen)[2].sum(-1).mean()

    params = {"process": jnp.array(0.0), "seen": jnp.array(0.0)}
    step = jax.jit(lambda p: (loss(p), jax.tree.map(lambda a, g: a - 0.01 * g, p, jax.grad(loss)(p))))
    values = []
    for _ in range(30):
        value, params = step(params)
        values.append(float(value))
    means, covs, _ = jax.vmap(filter_path, (None, 0))(params, seen)
    smoothed = jax.jit(jax.vmap(smooth, (None, 0, 0)))(params, means, covs)
    error = lambda x: float(jnp.sqrt(jnp.mean((x - states) ** 2)))
    return {
        "first": values[0], "last": values[-1], "process": float(params["process"]), "seen": float(params["seen"]),
        "filtered": error(means), "smoothed": error(smoothed),
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(main()))
