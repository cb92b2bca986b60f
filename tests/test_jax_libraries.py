"""optax and chex, which were written for JAX, on fnn. `make test` installs them without their dependencies."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

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
