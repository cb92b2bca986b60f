"""Programs written for JAX, run by fnn: they give the numbers that JAX 0.10.2 gave (tests/data/jax_programs.json)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = [p for p in sorted((ROOT / "examples" / "jax").glob("*.py")) if p.stem != "optax_digits"]
RECORDED = json.loads((ROOT / "tests" / "data" / "jax_programs.json").read_text())["results"]
# Training amplifies roundings: how far the last numbers of a program may drift, relative to JAX's.
DRIFT = {"ppo_cartpole": 0.05, "neural_ode": 0.03, "beam_pinn": 0.01, "transformer": 0.01, "hmc": 0.2}


def test_there_are_twelve() -> None:
    assert len(PROGRAMS) == 12 and {p.stem for p in PROGRAMS} == set(RECORDED)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.stem)
def test_jaxs_numbers(program: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fnn.compat.jax", str(program)], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    results, expected = json.loads(done.stdout), RECORDED[program.stem]
    assert results.keys() == expected.keys()
    first, *rest = expected  # nothing was trained yet: to rounding
    np.testing.assert_allclose(results[first], expected[first], rtol=1e-5)
    for name in rest:
        np.testing.assert_allclose(
            results[name], expected[name], rtol=DRIFT.get(program.stem, 2e-3), atol=1e-4, err_msg=name
        )
