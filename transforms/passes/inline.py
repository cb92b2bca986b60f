"""Calls replaced by what they call."""

from __future__ import annotations

from typing import Any

from fnn.core.ir import Atom, Equation, Graph
from fnn.core.lowering import Decompose
from fnn.core.trace import closed_stage
from fnn.transforms.passes.rewriting import copy_into

# Calls that mean just their body: parameter that holds it. Remat is not among them: its body must stay apart,
# or what it computes again would be found computed already.
INLINED = {"jit": "graph", "custom_jvp": "fun", "custom_vjp": "fun", "custom_vmap": "fun"}


def inline(graph: Graph) -> Graph:
    """Nested jit and custom-derivative calls replaced by their bodies, and primitives that are written
    with others by what they are written with, at every depth of calls."""
    equations: list[Equation] = []

    def visit(eqn: Equation, operands: list[Atom]) -> Any:
        name = INLINED.get(eqn.primitive.name)
        if name is not None:
            return copy_into(eqn.params[name], operands, equations, visit)
        if isinstance(eqn.primitive.lower, Decompose):
            return copy_into(decomposed(eqn), operands, equations, visit)
        return None

    outputs = copy_into(graph, graph.inputs, equations, visit)
    return Graph(graph.inputs, outputs, equations)


def decomposed(eqn: Equation) -> Graph:
    """A primitive's decomposition for these operand types. Weak and constant operands keep their nature
    through their types; the equations carry the user's line."""
    primitive, params = eqn.primitive, eqn.params
    avals = tuple([a.aval for a in eqn.inputs])
    key = ("decomposed", avals, tuple(params.items()))
    found = primitive.types.get(key)
    if found is None:

        def f(*xs: Any) -> list[Any]:
            out = primitive.lower.fn(*xs, **params)  # type: ignore[union-attr]  # a Decompose
            return list(out) if primitive.multiple else [out]

        found = primitive.types[key] = closed_stage(f, avals)
    body = found
    return Graph(
        body.inputs,
        body.outputs,
        [
            Equation(e.primitive, e.inputs, e.outputs, e.params, eqn.source or e.source)
            for e in body.equations
        ],
    )
