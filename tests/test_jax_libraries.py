"""Libraries that were written for JAX, on fnn. `make test` installs them without their dependencies."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent


def run(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "fnn.compat.jax", *command], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_optax_trains_as_on_jax() -> None:
    """Losses and parameters after ten steps of each optimiser, as optax gave them on JAX 0.10.2."""
    (recorded,) = [
        v
        for k, v in json.loads((ROOT / "tests/data/optax_digits.json").read_text()).items()
        if "results" in k
    ]
    results = json.loads(run("examples/jax/optax_digits.py"))
    assert results.keys() == recorded.keys() and len(recorded) >= 20
    for name, expected in recorded.items():
        np.testing.assert_allclose(results[name], expected, rtol=1e-5, err_msg=name)


def test_chex_checks(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text("""
import chex, jax, jax.numpy as jnp

@chex.dataclass
class State:
    mean: chex.Array
    count: int

@jax.jit
@chex.assert_max_traces(n=1)
def update(state, x):
    chex.assert_rank(x, 1)
    chex.assert_equal_shape([x, state.mean])
    return state.replace(mean=state.mean + (x - state.mean) / (state.count + 1), count=state.count + 1)

state = State(mean=jnp.zeros(3), count=0)
for i in range(3):
    state = update(state, jnp.full(3, float(i)))
chex.assert_trees_all_close(state.mean, jnp.ones(3))
chex.assert_tree_all_finite(state)
chex.assert_type(state.mean, jnp.float32)
try:
    update(state, jnp.zeros((3, 1)))
except AssertionError as error:
    print("refused", jax.tree.leaves(state)[0])
""")
    assert run(str(script)).startswith("refused")


# library, a program, what it prints with the library on JAX 0.10.2
PROGRAMS = {
    "einops": (
        """
import einops, jax, jax.numpy as jnp
x = jnp.arange(24.0).reshape(2, 3, 4)
print(einops.rearrange(x, "a b c -> (a c) b").shape, jax.jit(lambda x: einops.reduce(x, "a b c -> a", "mean"))(x).tolist())
""",
        "(8, 3) [5.5, 17.5]",
    ),
    "haiku": (
        """
import haiku as hk, jax, jax.numpy as jnp
def net(x, train):
    x = hk.BatchNorm(True, True, 0.9)(jax.nn.relu(hk.Conv2D(4, 3)(x)), train)
    x = hk.LayerNorm(-1, True, True)(hk.Linear(8)(hk.Flatten()(x)))
    return hk.Linear(3)(hk.dropout(hk.next_rng_key(), 0.1, x) if train else x)
f = hk.transform_with_state(net)
x = jax.random.normal(jax.random.PRNGKey(1), (4, 6, 6, 2))
params, state = f.init(jax.random.PRNGKey(0), x, True)
loss = lambda p: f.apply(p, state, jax.random.PRNGKey(2), x, True)[0].var()
value, grads = jax.jit(jax.value_and_grad(loss))(params)
print(f"{float(value):.4f} {float(sum(jnp.abs(g).sum() for g in jax.tree.leaves(grads))):.3f}")
""",
        "0.9125 190.326",
    ),
    "jaxopt": (
        """
import jaxopt, jax, jax.numpy as jnp
A, b = jax.random.normal(jax.random.PRNGKey(0), (10, 4)), jnp.arange(10.0) / 10
ridge = lambda w, l2: jnp.sum((A @ w - b) ** 2) + l2 * jnp.sum(w**2)
solver = jaxopt.LBFGS(ridge, maxiter=100, tol=1e-5)
print([round(float(v), 3) for v in solver.run(jnp.zeros(4), l2=1.0).params],
      [round(float(v), 3) for v in jax.jacobian(lambda l: solver.run(jnp.zeros(4), l2=l).params)(1.0)])
""",
        "[0.007, -0.015, 0.028, 0.034] [-0.002, 0.002, -0.003, -0.004]",
    ),
    "equinox": (
        """
import equinox as eqx, jax, jax.numpy as jnp
one, two, three = jax.random.split(jax.random.PRNGKey(0), 3)
model = eqx.nn.MLP(4, 2, 8, 2, key=one)
x = jax.random.normal(two, (5, 4))
@eqx.filter_jit
@eqx.filter_value_and_grad
def loss(model):
    return jnp.mean(jax.vmap(model)(x) ** 2)
value, grads = loss(model)
model = eqx.apply_updates(model, jax.tree.map(lambda g: -0.1 * g, grads))
def loop(x, kind):
    return eqx.internal.while_loop(lambda c: c[0] < 5, lambda c: (c[0] + 1, c[1] * x), (0, x), max_steps=16, kind=kind)[1]
print(f"{float(value):.4f} {float(loss(model)[0]):.4f}",
      *[float(jax.grad(loop)(1.5, k)) for k in ("bounded", "checkpointed")])
try:
    eqx.filter_jit(lambda x: eqx.error_if(x, x < 0, "negative"))(jnp.array(-1.0))
except RuntimeError as error:
    print("negative" in str(error))
""",
        "0.0944 0.0665 45.5625 45.5625 True",
    ),
    "blackjax": (
        """
import blackjax, jax, jax.numpy as jnp
data = jax.random.normal(jax.random.PRNGKey(0), (100,)) * 2 + 3
def logdensity(p):
    return jnp.sum(jax.scipy.stats.norm.logpdf(data, p["mean"], jnp.exp(p["log_scale"]))) - p["mean"] ** 2 / 200
nuts = blackjax.nuts(logdensity, step_size=0.1, inverse_mass_matrix=jnp.array([0.04, 0.005]))
start = nuts.init({"mean": jnp.array(2.0), "log_scale": jnp.array(0.0)})
step = lambda s, key: (lambda new: (new[0], new[0].position))(nuts.step(key, s))
_, found = jax.jit(lambda s: jax.lax.scan(step, s, jax.random.split(jax.random.PRNGKey(2), 300)))(start)
print(abs(float(found["mean"][50:].mean() - data.mean())) < 0.1,
      abs(float(jnp.exp(found["log_scale"][50:]).mean() - data.std())) < 0.1)
""",
        "True True",
    ),
}


@pytest.mark.parametrize("library", PROGRAMS)
def test_programs_of_libraries(library: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    script = tmp_path / "program.py"
    program, expected = PROGRAMS[library]
    script.write_text(program)
    assert " ".join(run(str(script)).split()) == expected
