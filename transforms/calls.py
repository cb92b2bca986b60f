"""Primitives that call a graph: jit and remat, and what all primitives that hold graphs share."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fnn import primitives as P
from fnn.core.aval import Aval
from fnn.core.ir import Equation, Graph, subgraphs
from fnn.core.lowering import Loop
from fnn.core.primitive import Primitive, Sample
from fnn.core.source import function_place
from fnn.core.trace import Trace, stage, state
from fnn.transforms.autodiff import fill
from fnn.transforms.compiled import run
from fnn.transforms.flattening import flat_call
from fnn.transforms.passes.dce import dce
from fnn.transforms.rewrite import (
    Flags,
    SavePolicy,
    batch_graph,
    jvp_graph,
    pick,
    reach_float,
    spread_out,
    vjp_graphs,
)


def staged(
    f: Callable[..., Any], structure: Any, avals: Sequence[Aval], names: Callable[[int], str] | None = None
) -> tuple[Graph, list[Any], Any]:
    """f over pytrees, traced: (graph, captured outer tracers, structure of the result)."""
    what = function_place(f)
    start = time.perf_counter()
    flat, box = flat_call(f, structure, what)
    graph, captured = stage(flat, avals, names, what)
    graph = dce(graph)
    seconds = time.perf_counter() - start
    graph.cached("seconds of tracing", lambda: seconds)
    return graph, captured, box[0]


def free_axes(graph: Graph) -> frozenset:
    """Axis names that the graph refers to."""

    def find() -> frozenset:
        found: set = set()
        for e in graph.equations:
            if "axis_name" in e.params:
                found.add(e.params["axis_name"])
            for _, inner in subgraphs(e.params):
                found |= free_axes(inner)
        return frozenset(found)

    return graph.cached("axes", find)


def graph_floor(params: dict[str, Any]) -> Trace | None:
    """The innermost trace that binds an axis name used inside an equation's graphs."""
    top: Trace | None = None
    if not state.axes:
        return top
    for _, graph in subgraphs(params):
        for name in free_axes(graph):
            trace = state.axes.get(name)
            if trace is not None and (top is None or trace.level > top.level):
                top = trace
    return top


def _call_jvp(call: Primitive) -> Callable[..., Any]:
    def jvp(primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any]) -> Any:
        graph, active = params["graph"], tuple(t is not None for t in tangents)
        out_active = reach_float(graph, active)
        outs = call(
            *primals, *pick(tangents, active), **{**params, "graph": jvp_graph(graph, active, out_active)}
        )
        size = len(graph.outputs)
        return outs[:size], spread_out(outs[size:], out_active)

    return jvp


def _call_batch(call: Primitive) -> Callable[..., Any]:
    def batch(frame: Any, flags: Flags, args: Sequence[Any], params: dict[str, Any]) -> Any:
        graph, out_flags = batch_graph(params["graph"], frame.size, frame.name, flags)
        return call(*args, **{**params, "graph": graph}), out_flags

    return batch


def _call_shape(*avals: Aval, graph: Graph, **_: Any) -> tuple[Aval, ...]:
    return graph.out_avals


def _call_evaluate(*args: Any, graph: Graph, **_: Any) -> list[Any]:
    return run(graph, args)


def cut_vjp(
    needs: Flags,
    args: Sequence[Any],
    params: dict[str, Any],
    backward_call: Primitive,
    policy: SavePolicy | None = None,
) -> Any:
    """The vjp of a call: the joint graph, cut; the forward half runs now, the backward half when it is
    pulled."""
    graph, name = params["graph"], params["name"]
    out_active = reach_float(graph, needs)
    if not any(out_active):
        return jit_call(*args, graph=graph, name=name), None, out_active
    forward, backward, forwarded = vjp_graphs(graph, needs, out_active, None, policy)
    size, avals = len(graph.outputs), graph.out_avals
    outs = jit_call(*args, graph=forward, name=name)
    kept = [*(args[i] for i in forwarded), *outs[size:]]

    def pull(cts: Sequence[Any]) -> list[Any]:
        cts = [fill(c, a) for c, a in zip(cts, avals, strict=True)]
        return spread_out(
            backward_call(*kept, *pick(cts, out_active), **{**params, "graph": backward}), needs
        )

    return outs[:size], pull, out_active


def _jit_vjp(needs: Flags, args: Sequence[Any], params: dict[str, Any]) -> Any:
    return cut_vjp(needs, args, params, jit_call)


def _sample(size: int) -> Sample:
    """sin(x) * y and x + 1, for what calls graphs."""
    aval = Aval((size,), np.dtype("float32"))
    graph = stage(lambda x, y: [P.mul(P.sin(x), y), P.add(x, 1.0)], [aval, aval])[0]
    return Sample((f"f4[{size}]", f"f4[{size}]"), {"graph": graph, "name": "sample"})


def _samples() -> list[Sample]:
    return [_sample(3), _sample(0)]


jit_call = Primitive(
    "jit",
    multiple=True,
    shape=_call_shape,
    floor=graph_floor,
    evaluate=_call_evaluate,
    vjp=_jit_vjp,
    lower=Loop("call"),
    samples=_samples,
)
jit_call.jvp, jit_call.batch = _call_jvp(jit_call), _call_batch(jit_call)


def _remat_vjp(needs: Flags, args: Sequence[Any], params: dict[str, Any]) -> Any:
    """Only what the policy allows is saved; the backward graph, which computes the rest again, stays an
    opaque call, or common subexpressions would undo it."""
    return cut_vjp(needs, args, params, remat_call, params["policy"])


def save_nothing(eqn: Equation) -> bool:
    """The policy that computes everything again."""
    return False


remat_call = Primitive(
    "remat",
    multiple=True,
    shape=_call_shape,
    floor=graph_floor,
    evaluate=_call_evaluate,
    vjp=_remat_vjp,
    lower=Loop("call"),
    samples=lambda: [Sample(s.args, {**s.params, "policy": save_nothing}) for s in _samples()],
)
remat_call.jvp, remat_call.batch = _call_jvp(remat_call), _call_batch(remat_call)
