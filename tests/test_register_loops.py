"""Loops over small state: one kernel each, and the results of the same loop run kernel by kernel."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from fnn import primitives, tree
from fnn import primitives as P
from fnn.core.ir import Graph
from fnn.core.lowering import Library, Loop
from fnn.core.primitive import Primitive, Unsupported, registry
from fnn.core.trace import aval_of
from fnn.kernels import lower as lowering
from fnn.kernels.calls import Call, Lowered
from fnn.kernels.executable import compile_graph
from fnn.kernels.loops import code_of, computed
from fnn.kernels.register_loops import STATE
from fnn.transforms.batching import vmap
from fnn.transforms.control import cond, switch
from fnn.transforms.differentiate import grad, jvp
from fnn.transforms.jit import jit
from fnn.transforms.passes.pipeline import optimize
from fnn.transforms.scan import fori_loop, scan
from fnn.transforms.while_loop import while_loop
from tests.lowering_checks import array, close, execute, graph_of

F4, I4 = np.dtype("float32"), np.dtype("int32")


@contextmanager
def kernel_by_kernel() -> Iterator[None]:
    """Loops as rows of the table."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lowering, "register_call", lambda *_: None)
        yield


def labels(lowered: Lowered) -> list[str]:
    return [call.label if isinstance(call, Call) else type(call).__name__ for call in lowered.calls]


def traced(f: Callable[..., Any], *args: np.ndarray) -> Graph:
    return optimize(graph_of(lambda *xs: tree.leaves(f(*xs)), *args))


def agree(f: Callable[..., Any], *args: np.ndarray, slack: float = 1.0, whole: bool = True) -> list[np.ndarray]:
    """f compiled in registers, interpreted, and kernel by kernel: the same numbers."""
    graph = traced(f, *args)
    lowered = lowering.lower(graph)
    if whole:
        assert "ControlCall" not in labels(lowered), labels(lowered)
        for got, want in zip(execute(lowered, args), compile_graph(graph)(args), strict=True):
            close(got, want, slack)
    found = compile_graph(graph)(args)
    with kernel_by_kernel():
        assert "ControlCall" in labels(lowering.lower(graph))
        want = compile_graph(graph)(args)
    for x, y in zip(found, want, strict=True):
        close(x, y, slack)
    return found


# -- every primitive in the body of a loop -------------------------------------------------------------------

for _module in pkgutil.iter_modules(primitives.__path__):
    importlib.import_module("fnn.primitives." + _module.name)
CASES = [
    (p, k)
    for p in registry.values()
    for k in range(len(p.samples))
    if not isinstance(p.lower, (Library, Unsupported))
]


@pytest.mark.parametrize("primitive,number", CASES, ids=[f"{p}-{k}" for p, k in CASES])
def test_every_primitive_in_a_body(primitive: Primitive, number: int) -> None:
    sample = primitive.samples[number]
    args = sample.arrays(np.random.default_rng(number))
    floats = [isinstance(x, np.ndarray) and x.dtype.kind == "f" and x.ndim > 0 for x in args]
    arrays = [x for x, f in zip(args, floats, strict=True) if isinstance(x, np.ndarray) and not f]
    stacked = [np.stack([x, x[::-1]]) for x, f in zip(args, floats, strict=True) if f]

    def results(constant: Any, changing: Any) -> list[Any]:
        constant, changing = iter(constant), iter(changing)
        given = [
            next(changing) if f else next(constant) if isinstance(x, np.ndarray) else x
            for x, f in zip(args, floats, strict=True)
        ]
        out = primitive(*given, **sample.params)
        return list(out) if primitive.multiple else [out]

    def looped(*given: Any) -> Any:
        constant, changing = given[: len(arrays)], list(given[len(arrays) :])

        def step(n: Any, xs: Any) -> Any:
            return P.add(n, np.int32(1)), results(constant, xs)

        return tree.leaves(scan(step, np.int32(0), changing, length=2))

    graph = traced(looped, *arrays, *stacked)
    with np.errstate(all="ignore"):
        steps = [results(arrays, [x[i] for x in stacked]) for i in range(2)]
    want = [np.stack([np.asarray(s[k]) for s in steps]) for k in range(len(steps[0]))]
    count, *found = compile_graph(graph)([*arrays, *stacked])
    assert count == 2
    for x, y in zip(found, want, strict=True):
        close(x, y.astype(x.dtype), sample.tolerance)
    operands = [aval_of(x) for x in args] + [aval_of(x) for x in steps[0]]
    plain = all(computed(code_of(a.dtype)) == code_of(a.dtype) for a in operands)
    inner = all(
        computed(code_of(v.aval.dtype)) == code_of(v.aval.dtype)
        for g in [next(e.params["graph"] for e in graph.equations if e.primitive.name == "scan")]
        for e in g.equations
        for v in e.outputs
    )
    if plain and inner and sum(a.size for a in operands) <= 64:
        assert "ControlCall" not in labels(lowering.lower(graph))
