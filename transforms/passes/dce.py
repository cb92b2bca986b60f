"""Dead code elimination."""

from __future__ import annotations

from fnn.core.ir import Graph, Var


def dce(graph: Graph) -> Graph:
    """Without the equations that no output needs."""
    live = {a for a in graph.outputs if type(a) is Var}
    kept = []
    for eqn in reversed(graph.equations):
        if any(v in live for v in eqn.outputs):
            kept.append(eqn)
            live.update(a for a in eqn.inputs if type(a) is Var)
    return Graph(graph.inputs, graph.outputs, kept[::-1])
