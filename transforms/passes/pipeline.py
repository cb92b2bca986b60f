"""The passes a graph goes through before it becomes kernels, in order."""

from __future__ import annotations

from collections.abc import Callable

from fnn.config import config
from fnn.core.checker import check
from fnn.core.ir import Equation, Graph, subgraphs
from fnn.transforms.passes.cse import cse
from fnn.transforms.passes.dce import dce
from fnn.transforms.passes.fold import fold
from fnn.transforms.passes.hoist import hoist
from fnn.transforms.passes.inline import inline
from fnn.transforms.passes.one_hot import one_hot
from fnn.transforms.passes.pairs import pairs
from fnn.transforms.passes.pieces import pieces
from fnn.transforms.passes.recognise import recognise
from fnn.transforms.passes.rewriting import map_subgraphs
from fnn.transforms.passes.simplify import simplify

Pass = Callable[[Graph], Graph]


def nested(graph: Graph) -> Graph:
    """The graphs inside of equations (bodies of loops, branches, remat) go through the same passes."""
    if not any(True for e in graph.equations for _ in subgraphs(e.params)):
        return graph
    equations = [
        Equation(e.primitive, e.inputs, e.outputs, map_subgraphs(e.params, optimize), e.source)
        for e in graph.equations
    ]
    return Graph(graph.inputs, graph.outputs, equations)


PASSES: tuple[Pass, ...] = (
    pairs,
    inline,
    dce,
    nested,
    fold,
    simplify,
    cse,
    recognise,
    one_hot,
    pieces,
    hoist,
    dce,
)


def optimize(graph: Graph) -> Graph:
    """The standard pipeline. With `config.check_graphs` (FNN_CHECK=1) the checker runs after every pass."""
    return graph.cached("optimized", lambda: _optimize(graph))


def _optimize(graph: Graph) -> Graph:
    for step in PASSES:
        graph = step(graph)
        if config.check_graphs:
            check(graph, f"after {step.__name__}")
    return graph


def stages(graph: Graph) -> list[tuple[str, Graph]]:
    """(pass, its result), for looking at."""
    out = [("traced", graph)]
    for step in PASSES:
        graph = step(graph)
        out.append((step.__name__, graph))
    return out
