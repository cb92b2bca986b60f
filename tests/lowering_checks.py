"""Lower a function, run its calls in the loop interpreter, compare with the graph on NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from fnn.core.aval import Aval
from fnn.core.ir import Graph
from fnn.core.trace import stage
from fnn.kernels.calls import Call, Lowered, Value
from fnn.kernels.loops import code_of
from fnn.kernels.lower import lower
from fnn.primitives import structural
from tests.loop_interpreter import TYPES, run_call

RNG = np.random.default_rng(0)
PROGRAMS: dict[str, str] = {}  # equal keys must mean equal programs


def array(*shape: int, dtype: Any = "f4") -> np.ndarray:
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return RNG.random(shape) < 0.5
    if dtype.kind in "iu":
        return RNG.integers(0 if dtype.kind == "u" else -9, 9, shape).astype(dtype)
    return RNG.standard_normal(shape).astype(dtype)


def graph_of(f: Any, *arrays: np.ndarray) -> Graph:
    return stage(f, [Aval(x.shape, x.dtype) for x in arrays])[0]


def execute(lowered: Lowered, arrays: Any, shuffle: bool = True) -> list[np.ndarray]:
    """Run the calls in order, the tiles of each in a random order; memory starts out as rubbish."""
    memory: dict[Value, np.ndarray] = {}
    rng = np.random.default_rng(1) if shuffle else None

    def have(value: Value) -> None:
        if value not in memory:
            dtype = TYPES[code_of(value.dtype)]
            memory[value] = (
                np.ascontiguousarray(value.const).reshape(-1).view(dtype)
                if value.const is not None
                else np.full(value.nbytes, 0x7B if dtype.kind != "b" else 1, np.uint8).view(dtype)
            )

    for value, x in zip(lowered.inputs, arrays, strict=True):
        memory[value] = np.array(x).reshape(-1).view(TYPES[code_of(value.dtype)])
    for call in lowered.calls:
        assert isinstance(call, Call) and call.program is not None
        for value, _ in call.args:
            have(value)
        assert {x for x, _ in call.args} == call.reads | call.writes
        assert PROGRAMS.setdefault(call.key, str(call.program())) == str(call.program())
        before = {value: memory[value].copy() for value, _ in call.args}
        run_call(call, memory, rng)
        for (
            out,
            source,
        ) in call.in_place:  # the same numbers come out where the input's memory is the output's
            shared = {value: x.copy() for value, x in before.items()}
            shared[out] = shared[source].view(shared[out].dtype)
            run_call(call, shared, rng)
            for value in call.writes:
                np.testing.assert_array_equal(shared[value], memory[value])
    for value in lowered.outputs:
        have(value)
    return [
        memory[x].view(x.dtype).reshape(shape)
        for x, shape in zip(lowered.outputs, lowered.shapes, strict=True)
    ]


def close(got: np.ndarray, want: np.ndarray, slack: float = 1.0) -> None:
    assert got.shape == want.shape and got.dtype == want.dtype, (got.shape, want.shape, got.dtype, want.dtype)
    if want.dtype.kind == "c":
        close(np.stack([got.real, got.imag]), np.stack([want.real, want.imag]), slack)
        return
    code = code_of(want.dtype)
    if code[0] in "fb" and code != "b1":
        tolerance = {"bf": 2e-2, "f2": 4e-3, "f4": 3e-5, "f8": 1e-12}[code] * slack
        np.testing.assert_allclose(got.astype("f8"), want.astype("f8"), tolerance, tolerance)
    else:
        np.testing.assert_array_equal(got, want)


def check(f: Any, *arrays: np.ndarray) -> Lowered:
    graph = graph_of(f, *arrays)
    lowered = lower(graph)
    with np.errstate(all="ignore"):
        want = [np.asarray(x) for x in graph(*arrays)]
    for got, expected in zip(execute(lowered, arrays), want, strict=True):
        close(got, expected)
    return lowered


def over(x: Any, shape: tuple[int, ...], *axes: int) -> Any:
    return structural.broadcast(x, shape=shape, axes=axes)


def kernels(lowered: Lowered) -> list[Call]:
    """The calls of a program that has nothing but kernels."""
    assert all(isinstance(call, Call) for call in lowered.calls)
    return [call for call in lowered.calls if isinstance(call, Call)]
