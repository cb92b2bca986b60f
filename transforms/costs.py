"""A rough time of a graph, for choices that are made before anything is planned."""

from __future__ import annotations

import math

from fnn.core.ir import Equation, Graph, subgraphs
from fnn.core.lowering import Contraction, IndexMap, Iota, Library
from fnn.transforms.passes.dce import dce

CALL = 30.0  # nanoseconds of a kernel's call: fusion leaves a call for a few equations
LANES = 16  # elements that are worked on at once
VECTOR = 0.3  # nanoseconds of an operation on so many
FLOPS = 40.0  # per nanosecond, of a product
LIBRARY = 1_000.0  # nanoseconds of a library call, at least
UNKNOWN = 16  # steps a while loop is taken to make
_DEAR = ("exp", "log", "sin", "cos", "tan", "tanh", "erf", "pow", "logistic", "lgamma", "digamma", "atan2")


def nanoseconds(graph: Graph, batch: int = 1) -> float:
    """What a run of the graph takes one thread, roughly, over a batch of so many."""
    return graph.cached(
        ("nanoseconds", batch), lambda: sum(_equation(e, batch) for e in dce(graph).equations)
    )


def _equation(eqn: Equation, batch: int) -> float:
    p, name, way = eqn.params, eqn.primitive.name, eqn.primitive.lower
    inner = [nanoseconds(g, batch) for _, g in subgraphs(p)]
    if inner:
        rounds = (
            p["length"] if name == "scan" else min(UNKNOWN, p.get("max_steps", UNKNOWN)) if "test" in p else 1
        )
        return rounds * (sum(inner) if name != "cond" else max(inner)) + CALL
    if isinstance(way, IndexMap | Iota):
        return 0.0
    elements = batch * max([math.prod(a.aval.shape) for a in (*eqn.inputs, *eqn.outputs)], default=1)
    if isinstance(way, Contraction):
        shape = eqn.inputs[0].aval.shape
        summed = math.prod(shape[d] for d in p["contract"][0])
        return CALL + 2.0 * batch * math.prod(eqn.outputs[0].aval.shape) * summed / FLOPS
    if isinstance(way, Library):
        return LIBRARY * batch + elements
    return CALL / 3 + VECTOR * -(-elements // LANES) * (12 if name in _DEAR else 1)
