"""What passes share: rebuilding a graph equation by equation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fnn.core.ir import Atom, Equation, Graph, Var

Replacement = Sequence[Atom] | None


def rewrite(graph: Graph, visit: Callable[[Equation], Replacement]) -> Graph:
    """Rebuild a graph: visit(equation) -> atoms that stand for its outputs, or None to keep it."""
    names: dict[Atom, Atom] = {}
    kept = []
    for eqn in graph.equations:
        eqn = eqn.replace([names.get(a, a) for a in eqn.inputs])
        instead = visit(eqn)
        if instead is None:
            kept.append(eqn)
        else:
            names.update(zip(eqn.outputs, instead, strict=True))
    return Graph(graph.inputs, [names.get(a, a) for a in graph.outputs], kept)


def copy_into(
    graph: Graph, inputs: Sequence[Atom], equations: list[Equation], visit: Callable[..., Any] | None = None
):
    """Append a graph's equations under fresh names; returns the atoms of its outputs. visit(equation,
    inputs) may return the atoms of an equation's outputs after appending something else, or None."""
    names: dict[Atom, Atom] = dict(zip(graph.inputs, inputs, strict=True))
    for eqn in graph.equations:
        operands = [names.get(a, a) for a in eqn.inputs]
        instead = visit(eqn, operands) if visit is not None else None
        if instead is None:
            fresh = [Var(v.aval) for v in eqn.outputs]
            equations.append(Equation(eqn.primitive, operands, fresh, eqn.params, eqn.source))
            instead = fresh
        names.update(zip(eqn.outputs, instead, strict=True))
    return [names.get(a, a) for a in graph.outputs]


def map_subgraphs(params: dict[str, Any], f: Callable[[Graph], Graph]) -> dict[str, Any]:
    """Parameters with f applied to every graph among them."""

    def one(value: Any) -> Any:
        if isinstance(value, Graph):
            return f(value)
        if isinstance(value, tuple) and any(isinstance(v, Graph) for v in value):
            return tuple([one(v) for v in value])
        return value

    return {k: one(v) for k, v in params.items()}
