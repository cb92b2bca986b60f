"""Programs with loops, run in registers and kernel by kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from fnn import primitives as P
from fnn import tree
from fnn.core.ir import Graph
from fnn.kernels import lower as lowering
from fnn.kernels.calls import Call, Lowered
from fnn.kernels.executable import compile_graph
from fnn.transforms.passes.pipeline import optimize
from tests.lowering_checks import close, execute, graph_of

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


def agree(
    f: Callable[..., Any], *args: np.ndarray, slack: float = 1.0, whole: bool = True
) -> list[np.ndarray]:
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


def lanes_of(f: Callable[..., Any], *args: np.ndarray) -> list[str]:
    calls = lowering.lower(traced(f, *args)).calls
    return [call.text for call in calls if isinstance(call, Call) and "lanes" in call.text]


def total(x: Any) -> Any:
    return P.reduce_sum(x, axes=tuple(range(len(x.shape))))
