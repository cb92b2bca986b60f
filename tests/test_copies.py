"""Updates of parts of arrays: in place, or copies that are reported with their reason."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn import lax

X = np.zeros((64, 16), "float32")


def copies(f: Any, *args: Any, **options: Any) -> list[str]:
    report = fnn.jit(f, **options).lower(*args).compile().memory()
    assert all(str(c) in str(report) for c in report.copies)
    return [f"{c.operation}: {c.reason}" for c in report.copies]


def set_row(x: Any, i: Any) -> Any:
    return x.at[i].set(1.0)


CALLER = "input0 belongs to the caller; donate it (donate_argnums) if it is not needed again"


def test_an_argument_is_copied_unless_it_is_donated() -> None:
    assert copies(set_row, X, 3) == [f"scatter: {CALLER}"]
    assert copies(set_row, X, 3, donate_argnums=0) == []
    assert copies(lambda x: x.at[2:5].set(1.0), X) == [f"dynamic_update_slice: {CALLER}"]


def test_intermediate_results_are_changed_in_place() -> None:
    assert copies(lambda x, i: set_row(fnp.sin(x), i), X, 3) == []
    assert copies(lambda x, i: set_row(set_row(fnp.sin(x), i), 5), X, 3) == []


def test_an_array_that_is_read_again() -> None:
    def f(x: Any, i: Any) -> Any:
        y = x.T @ x
        return y.at[i].set(1.0), y.sum()

    (found,) = copies(f, np.ones((64, 32), "float32"), 3)
    assert found.startswith("scatter: it is read again by reduce_add, test_copies.py:")


@pytest.mark.parametrize("donated, found", [((), CALLER), ((0,), None)])
def test_a_loop_that_fills_an_array(donated: tuple[int, ...], found: str | None) -> None:
    def f(x: Any) -> Any:
        return lax.fori_loop(0, 10, lambda i, c: c.at[i].add(1.0), x)

    assert copies(f, X, donate_argnums=donated) == ([f"scan: {found}"] if found else [])


def test_a_loop_that_hands_on_the_old_array() -> None:
    def f(x: Any) -> Any:
        return lax.fori_loop(0, 10, lambda i, c: (c[0].at[i].add(1.0), c[0]), (x, x))[1]

    assert "scatter: the loop hands on the old array too" in copies(f, X.repeat(16, 1))


def test_the_log(tmp_path: Any) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import fnn, fnn.numpy as fnp\n"
        "def first(x):\n"
        "    return x.at[0].set(1.0)\n"
        "fnn.jit(first)(fnp.zeros(1000))\n"
    )
    done = subprocess.run(
        [sys.executable, str(program)],
        env={**os.environ, "FNN_LOG": "copies", "PYTHONPATH": str(Path(__file__).parent.parent)},
        capture_output=True,
        text=True,
    )
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("fnn: copy in ")]
    assert (
        "program.py:3: dynamic_update_slice copies input0, f32[1000] (4000 bytes)" in line
        and line.endswith(CALLER)
    )
