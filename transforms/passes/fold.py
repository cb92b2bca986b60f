"""Constant folding."""

from __future__ import annotations

from fnn.core.ir import Equation, Graph, Literal
from fnn.core.lowering import Loop
from fnn.transforms.passes.rewriting import Replacement, rewrite

LIMIT = 1024  # elements: larger results are cheaper to compute than to keep as constants


def fold(graph: Graph) -> Graph:
    """Equations on constants are evaluated now, where the result is small."""

    def visit(eqn: Equation) -> Replacement:
        primitive = eqn.primitive
        if not all(type(a) is Literal for a in eqn.inputs) or not eqn.inputs:
            return None
        if (
            primitive.multiple
            or primitive.floor
            or isinstance(primitive.lower, Loop)
            or eqn.outputs[0].aval.size > LIMIT
            or eqn.outputs[0].aval.size
            > max(a.aval.size for a in eqn.inputs)  # a broadcast number says it all
        ):
            return None
        value = primitive.run([a.value for a in eqn.inputs], eqn.params)  # type: ignore[union-attr]  # literals
        return [Literal(value.value, eqn.outputs[0].aval)]

    return rewrite(graph, visit)
