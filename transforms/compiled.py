"""A graph made ready to run: through the passes to the kernels, once."""

from __future__ import annotations

import functools
import hashlib
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from fnn import kernels, transforms
from fnn.config import config
from fnn.core.array import ConcreteArray
from fnn.core.ir import Equation, Graph, Var
from fnn.core.nonfinite import forbidden
from fnn.core.primitive import Primitive
from fnn.core.trace import aval_of
from fnn.errors import NonFiniteError


def executable(graph: Graph, donated: tuple[int, ...] = (), name: str = "") -> kernels.Executable:
    """The compiled form of a graph, made at most once for each choice of donated inputs (by number); name: what
    the log calls it."""
    return graph.cached(("executable", donated, config.printer), lambda: _compiled(graph, donated, name))


def _compiled(graph: Graph, donated: tuple[int, ...], name: str) -> kernels.Executable:
    start = time.perf_counter()
    compile_graph = kernels.compile_graph  # the first time this imports what compiles
    from fnn.kernels import cache

    ready, before = time.perf_counter(), cache.statistics()
    program = compile_graph(graph, donated, _optimize, _version())
    times = program.times
    times["trace"] += graph.cached("seconds of tracing", float)
    times["import"] += ready - start
    if config.log == "copies":
        for copy in program.memory().copies:
            print(f"fnn: copy in {name or 'a graph'}: {copy}", file=sys.stderr)
    if config.log != "compile":
        return program
    end, now = time.perf_counter(), cache.statistics()
    calls = [key for key in program.table.kernels if key]
    print(
        f"fnn: compile {name or 'a graph'}: equations {program.equations}, calls {len(calls)}, kernels "
        f"{len(set(calls))} (compiled {now.compiled - before.compiled}, read from disk "
        f"{now.loaded - before.loaded}); {1e3 * (end - start + times['trace']):.1f} ms ("
        + ", ".join(f"{stage} {1e3 * t:.1f}" for stage, t in times.items() if t >= 5e-5) + ")",
        file=sys.stderr,
    )  # fmt: skip
    return program


def _optimize(graph: Graph) -> Graph:
    # here: a process that finds its plans in the cache needs no pass
    from fnn.transforms.passes.pipeline import optimize

    return optimize(graph)


def _version() -> str:
    """What the passes depend on besides the graph: their sources, NumPy, which computes constants, and the settings."""
    return f"{_sources()} {config.enable_x64} {config.check_indices} {config.check_graphs}"


@functools.cache
def _sources() -> str:
    from fnn.kernels.cache import sources_of

    lines = [np.__version__, *sources_of(transforms)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def numpy_value(x: Any, dtype: np.dtype) -> np.ndarray:
    """What a kernel is handed for an operand: a contiguous NumPy array of the declared dtype."""
    value = x.value if type(x) is ConcreteArray else np.asarray(x, dtype)
    return value if value.flags.c_contiguous else np.ascontiguousarray(value).reshape(value.shape)


def run(graph: Graph, args: Sequence[Any]) -> list[Any]:
    """Run a graph on concrete operands: compiled, or equation by equation where compilation is switched
    off."""
    if config.disable_jit:
        return graph(*args)
    values = executable(graph)([numpy_value(x, a.dtype) for x, a in zip(args, graph.in_avals, strict=True)])
    if config.debug_nans or config.debug_infs:
        explain_nonfinite(graph, args, values)
    return [ConcreteArray(v, a) for v, a in zip(values, graph.out_avals, strict=True)]


def explain_nonfinite(
    graph: Graph, args: Sequence[Any], values: Sequence[np.ndarray], name: str = ""
) -> None:
    """NonFiniteError if a compiled program's results hold what is forbidden: the graph runs again, operation by
    operation, to find out which one made the first."""
    if not any(map(forbidden, values)):
        return
    with config.using(disable_jit=True):
        graph(*args)
    raise NonFiniteError(
        f"a result of {name or 'a compiled program'} holds NaN or infinity, but not if it is run operation by operation: "
        "a computation at the edge of its dtype, which the compiled program rounds differently"
    )


def run_equation(primitive: Primitive, args: Sequence[Any], params: dict[str, Any], keep: Graph) -> list[Any]:
    """Run one equation that holds graphs as a compiled program of its own; `keep` holds it for the next
    time."""
    avals = tuple([aval_of(a).strong() for a in args])

    def make() -> Graph:
        inputs, outputs = [Var(a) for a in avals], [Var(a) for a in primitive.out_aval(avals, params)]
        return Graph(inputs, outputs, [Equation(primitive, inputs, outputs, params)])

    return run(keep.cached(("alone", primitive.name, avals, tuple(params.items())), make), args)
