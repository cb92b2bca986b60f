"""Gaussian-process regression by Cholesky factorisation (Rasmussen and Williams, 2006, algorithm 2.1): the kernel's
parameters are found by gradient ascent on the marginal likelihood."""

import json

import jax
import jax.numpy as jnp
from jax import random
from jax.scipy.linalg import cho_factor, cho_solve, solve_triangular


def kernel(params, x, y):
    distance = (x[:, None] - y[None]) ** 2
    return jnp.exp(params["scale"]) * jnp.exp(-0.5 * distance * jnp.exp(-2 * params["length"]))


def covariance(params, x):
    return kernel(params, x, x) + (jnp.exp(params["noise"]) + 1e-5) * jnp.eye(len(x))


def negative_log_likelihood(params, x, y):
    factor = jnp.linalg.cholesky(covariance(params, x))
    white = solve_triangular(factor, y, lower=True)
    return 0.5 * white @ white + jnp.log(jnp.diag(factor)).sum() + 0.5 * len(x) * jnp.log(2 * jnp.pi)


def predict(params, x, y, new):
    factor = cho_factor(covariance(params, x), lower=True)
    across = kernel(params, x, new)
    mean = across.T @ cho_solve(factor, y)
    spread = kernel(params, new, new) - across.T @ cho_solve(factor, across)
    return mean, jnp.sqrt(jnp.maximum(jnp.diag(spread), 0.0))


def main():
    k1, k2 = random.split(random.PRNGKey(0))
    x = jnp.sort(random.uniform(k1, (60,), minval=-3.0, maxval=3.0))
    y = jnp.sin(2 * x) + 0.3 * x + 0.1 * random.normal(k2, x.shape)
    params = {"scale": jnp.array(0.0), "length": jnp.array(0.0), "noise": jnp.array(-2.0)}
    step = jax.jit(jax.value_and_grad(negative_log_likelihood))
    start = None
    for _ in range(80):
        value, grads = step(params, x, y)
        start = value if start is None else start
        params = jax.tree.map(lambda p, g: p - 0.01 * jnp.clip(g, -5, 5), params, grads)
    new = jnp.linspace(-3.0, 3.0, 25)
    mean, spread = jax.jit(predict)(params, x, y, new)
    curvature = jax.hessian(negative_log_likelihood)(params, x, y)["length"]["length"]
    return {
        "start": float(start),
        "end": float(value),
        "error": float(jnp.abs(mean - jnp.sin(2 * new) - 0.3 * new).max()),
        "spread": float(spread.mean()),
        "curvature": float(curvature),
        **{name: float(p) for name, p in params.items()},
    }


if __name__ == "__main__":
    print(json.dumps(main()))
