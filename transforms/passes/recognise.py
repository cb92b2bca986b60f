"""Attention that is written by hand, recognised: see `attention_rewrites`, loaded by the first graph that may have it."""

from __future__ import annotations

from fnn.core.ir import Graph


def recognise(graph: Graph) -> Graph:
    """The graph with attention in place of what it consists of."""
    names = [e.primitive.name for e in graph.equations]
    if names.count("dot_general") < 2 or "exp" not in names or "reduce_max" not in names:
        return graph
    from fnn.transforms.passes.attention_rewrites import rewritten

    return rewritten(graph)
