"""Implicit differentiation of a fixed point by custom_vjp (as in deep equilibrium models, Bai et al., 2019), compared with
differentiating through the iteration."""

import json
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax, random


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def fixed_point(f, params, start):
    def unfinished(carry):
        before, after = carry
        return jnp.max(jnp.abs(before - after)) > 1e-6

    def body(carry):
        _, x = carry
        return x, f(params, x)

    return lax.while_loop(unfinished, body, (start, f(params, start)))[1]


def forward(f, params, start):
    x = fixed_point(f, params, start)
    return x, (params, x)


def backward(f, kept, cotangent):
    params, x = kept
    _, pull = jax.vjp(f, params, x)
    adjoint = fixed_point(lambda _, u: cotangent + pull(u)[1], None, jnp.zeros_like(x))
    return pull(adjoint)[0], jnp.zeros_like(x)


fixed_point.defvjp(forward, backward)


def layer(params, x):
    return jnp.tanh(params["w"] @ x + params["b"])


def through_the_iteration(params, start):
    return lax.scan(lambda x, _: (layer(params, x), None), start, None, length=60)[0]


def newton_sqrt(a):
    return fixed_point(lambda a, x: 0.5 * (x + a / x), a, a)


def main():
    k1, k2 = random.split(random.PRNGKey(0))
    params = {"w": 0.5 * random.normal(k1, (8, 8)) / jnp.sqrt(8.0), "b": random.normal(k2, (8,))}
    start = jnp.zeros(8)
    loss = lambda solve: lambda p: jnp.sum(solve(p, start) ** 2)
    implicit = jax.jit(jax.grad(loss(partial(fixed_point, layer))))(params)
    explicit = jax.jit(jax.grad(loss(through_the_iteration)))(params)
    apart = max(
        float(jnp.abs(a - b).max()) for a, b in zip(jax.tree.leaves(implicit), jax.tree.leaves(explicit))
    )
    roots = jax.vmap(newton_sqrt)(jnp.array([2.0, 3.0, 5.0]))
    slopes = jax.vmap(jax.grad(newton_sqrt))(jnp.array([2.0, 3.0, 5.0]))
    return {
        "loss": float(loss(partial(fixed_point, layer))(params)),
        "gradient": float(jnp.abs(implicit["w"]).sum()),
        "apart": round(apart, 4),
        "roots": float(roots.sum()),
        "slopes": float(slopes.sum()),
    }


if __name__ == "__main__":
    print(json.dumps(main()))
