"""A physics-informed network (Raissi et al., 2019) for the bending of a beam: w'''' = load, with fourth derivatives by nested
forward mode, and clamped ends."""

import json

import jax
import jax.numpy as jnp
from jax import random


def init(key, sizes=(1, 24, 24, 1)):
    keys = random.split(key, len(sizes) - 1)
    return [
        (random.normal(k, (m, n)) * jnp.sqrt(1.0 / m), jnp.zeros(n))
        for k, m, n in zip(keys, sizes[:-1], sizes[1:])
    ]


def deflection(params, x):
    h = x[None]
    for w, b in params[:-1]:
        h = jnp.tanh(h @ w + b)
    return (h @ params[-1][0] + params[-1][1])[0]


def derivative(f):
    return lambda x: jax.jvp(f, (x,), (jnp.ones_like(x),))[1]


def loss(params, points):
    w = lambda x: deflection(params, x)
    slope = derivative(w)
    fourth = derivative(derivative(derivative(slope)))
    load = jnp.cos(jnp.pi * points)
    inside = jnp.mean((jax.vmap(fourth)(points) - load) ** 2)
    ends = sum(f(jnp.array(e)) ** 2 for f in (w, slope) for e in (0.0, 1.0))
    return inside + 100.0 * ends


def main():
    params = init(random.PRNGKey(0))
    points = jnp.linspace(0.0, 1.0, 32)
    velocity = jax.tree.map(jnp.zeros_like, params)

    @jax.jit
    def step(params, velocity):
        value, grads = jax.value_and_grad(loss)(params, points)
        norm = jnp.sqrt(sum(jnp.vdot(g, g) for g in jax.tree.leaves(grads)))
        velocity = jax.tree.map(lambda v, g: 0.9 * v - 0.002 * g / jnp.maximum(norm, 1.0), velocity, grads)
        return jax.tree.map(jnp.add, params, velocity), velocity, value

    values = []
    for _ in range(60):
        params, velocity, value = step(params, velocity)
        values.append(float(value))
    fourth = derivative(derivative(derivative(derivative(lambda x: jnp.sin(2 * x)))))(jnp.array(0.3))
    return {"first": values[0], "twentieth": values[19], "last": values[-1], "check": float(fourth)}


if __name__ == "__main__":
    print(json.dumps(main()))
