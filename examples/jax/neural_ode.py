"""A neural ordinary differential equation (Chen et al., 2018) fitted to a spiral, by the adjoint method of odeint."""

import json

import jax
import jax.numpy as jnp
from jax import random
from jax.example_libraries import optimizers, stax
from jax.experimental.ode import odeint

init, network = stax.serial(stax.Dense(32), stax.Tanh, stax.Dense(2))


def spiral(y, t):
    return jnp.array([[-0.1, 2.0], [-2.0, -0.1]]) @ y**3


def solve(params, start, times):
    return odeint(lambda y, t: network(params, y**3), start, times, rtol=1e-4, atol=1e-5)


def loss(params, starts, times, paths):
    return jnp.abs(jax.vmap(solve, (None, 0, None))(params, starts, times) - paths).mean()


def main():
    key = random.PRNGKey(0)
    start, times = jnp.array([2.0, 0.0]), jnp.linspace(0.0, 5.0, 60)
    path = odeint(spiral, start, times, rtol=1e-6, atol=1e-7)
    _, params = init(key, (2,))
    opt_init, opt_update, get_params = optimizers.adam(1e-2)
    state = opt_init(params)

    @jax.jit
    def step(i, state, where):
        starts = path[where]
        paths = path[where[:, None] + jnp.arange(8)]
        value, grads = jax.value_and_grad(loss)(get_params(state), starts, times[:8], paths)
        return opt_update(i, grads, state), value

    values = []
    for i in range(25):
        where = random.randint(random.fold_in(key, i), (8,), 0, 52)
        state, value = step(i, state, where)
        values.append(float(value))
    return {"end": float(path[-1, 0]), "first": values[0], "tenth": values[9], "last": values[-1]}


if __name__ == "__main__":
    print(json.dumps(main()))
