"""Why a function was traced again: every kind of difference is named, and the log says the same."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn.errors import ArgumentError

ROOT = Path(__file__).resolve().parent.parent


class Scale(fnn.Module):
    factor: Any
    name: str = fnn.module.static_field(default="a")


def last(f: Any) -> tuple[int, tuple[str, ...]]:
    tracing = fnn.explain_recompile(f).tracings[-1]
    return tracing.nearest, tracing.reasons


def test_each_difference_is_named() -> None:
    @functools.partial(fnn.jit, static_argnames=("n",))
    def step(params: Any, x: Any, n: int = 1, *, scale: Any = 1.0) -> Any:
        return fnn.tree.map(lambda p: p * scale + fnp.sum(x) * n, params)

    params = {"w": fnp.ones(3), "b": fnp.ones(2)}
    step(params, fnp.ones((8, 3)))
    assert last(step) == (0, ("params['b']: f32[2]", "params['w']: f32[3]", "x: f32[8,3]"))
    step(params, fnp.ones((8, 3)))
    assert len(fnn.explain_recompile(step).tracings) == 1
    step(params, fnp.ones((7, 3)))
    assert last(step) == (
        1,
        ("x: f32[8,3] -> f32[7,3] (axis 0: pad to one size, or drop what does not fill it)",),
    )
    step(params, fnp.ones((7, 3)), n=2)
    assert last(step) == (2, ("static n: not given -> 2 (each value is a program of its own)",))
    step(params, fnp.ones((7, 3)), n=2.0)  # type: ignore[arg-type]  # equal, and of another type
    assert last(step) == (3, ("static n: 2 -> 2.0 (each value is a program of its own)",))
    step(params, np.ones((7, 3), np.int32), n=2)
    assert last(step) == (3, ("x: f32[7,3] -> i32[7,3] (convert it before the call)",))
    step({"w": fnp.ones(3)}, fnp.ones((8, 3)), scale=fnp.float32(2.0))
    assert last(step) == (1, ("scale is new: f32[]", "params['b'] is gone"))
    step({"w": fnp.ones(3)}, fnp.ones((8, 3)), scale=2.0)
    note = "scale: f32[] -> f32[]* (* marks a Python number: always pass an array, or always a number)"
    assert last(step) == (6, (note,))
    with fnn.enable_x64():
        step(params, fnp.ones((8, 3), dtype=fnp.float32))
    assert last(step) == (1, ("enable_x64: False -> True",))
    fnn.vmap(functools.partial(step, params), axis_name="i")(fnp.ones((4, 8, 3)))
    assert last(step) == (1, ("named axes around the call: {} -> {'i': 4}",))
    text = str(fnn.explain_recompile(step))
    assert text.splitlines()[0].endswith(
        f"test_recompilation.py:{step._f.__code__.co_firstlineno}) was traced 9 times"
    )
    assert "  2. test_recompilation.py:" in text and "unlike 1., x: f32[8,3] -> f32[7,3]" in text
    step.clear_cache()
    assert fnn.explain_recompile(step).tracings == ()


def test_structures_that_differ_in_what_is_no_leaf() -> None:
    f = fnn.jit(lambda m: m.factor)
    f(Scale(fnp.ones(3)))
    f(Scale(fnp.ones(3), name="b"))
    nearest, (reason,) = last(f)
    assert nearest == 1 and reason.startswith("containers: ") and "'a'" in reason and "'b'" in reason


def test_the_most_similar_earlier_call_is_the_one_compared() -> None:
    f = fnn.jit(lambda x, y: (x, y))
    for x, y in ((2, 2), (3, 3), (3, 4)):
        f(fnp.ones(x), fnp.ones(y))
    nearest, reasons = last(f)
    assert nearest == 2 and len(reasons) == 1 and reasons[0].startswith("y: f32[3] -> f32[4]")


def test_jit_applied_again_and_again() -> None:
    def fresh() -> Any:
        return fnn.jit(fnn.grad(lambda x: x * x))

    made = [fresh() for _ in range(3)]
    assert [float(f(1.0)) for f in made] == [2.0, 2.0, 2.0]
    explanation = fnn.explain_recompile(made[-1])
    assert explanation.applied == 3 and "jit was applied to it 3 times" in str(explanation)


def test_a_trace_that_ended() -> None:
    jitted: list[Any] = []

    def outer(x: Any) -> Any:
        if not jitted:
            jitted.append(fnn.jit(lambda y: y * kept[-1]))
        kept.append(x)
        return jitted[0](2.0)

    kept: list[Any] = []
    fnn.grad(lambda x: fnn.jit(outer)(x))(1.0)
    fnn.grad(lambda x: fnn.jit(outer)(x))(1.0)
    tracings = fnn.explain_recompile(jitted[0]).tracings
    assert len(tracings) == 2 and "the trace it belonged to has ended" in tracings[1].reasons[0]


def test_only_of_jitted_functions() -> None:
    with pytest.raises(ArgumentError, match="takes what jit returns"):
        fnn.explain_recompile(lambda x: x)  # type: ignore[arg-type]


def test_the_log_tells_what_is_traced_and_compiled(tmp_path: Path) -> None:
    script = "import fnn\nf = fnn.jit(lambda x: x + 1.0)\nf(1.0)\nf(1)\n"
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "FNN_LOG": "compile",
        "FNN_CACHE_DIR": str(tmp_path),
    }
    for first in (True, False):  # of two processes
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        lines = done.stderr.splitlines()
        assert [line.split()[1] for line in lines] == ["trace", "compile", "trace", "compile"]
        assert "equations 1, calls 1, kernels 1 (compiled " in lines[1]
        assert ("(compiled 0," in lines[1], "read from disk 0)" in lines[1]) == (not first, first)
        assert "unlike 1., x: f32[]* -> i32[]*" in lines[2]
