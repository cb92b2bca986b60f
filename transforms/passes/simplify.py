"""Algebra that changes no result: a table of patterns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fnn.core.aval import same_type
from fnn.core.ir import Atom, Equation, Graph, Literal
from fnn.transforms.passes.rewriting import Replacement, rewrite

Made = dict[Atom, Equation]


def _spread(eqn: Equation, made: Made) -> list[Atom]:
    """The operands; for one that is a number in every place, that number."""
    sources = [made.get(a) for a in eqn.inputs]
    return [
        a if e is None or e.primitive.name != "broadcast" or type(e.inputs[0]) is not Literal else e.inputs[0]
        for a, e in zip(eqn.inputs, sources, strict=True)
    ]


def _is(atom: Atom, number: float) -> bool:
    return type(atom) is Literal and np.ndim(atom.value) == 0 and bool(np.asarray(atom.value) == number)


def _first(eqn: Equation, made: Made) -> Atom | None:
    return eqn.inputs[0]


def _one(eqn: Equation, made: Made) -> Atom | None:
    """x * 1 and 1 * x."""
    (x, y), (p, q) = eqn.inputs, _spread(eqn, made)
    return x if _is(q, 1) else y if _is(p, 1) else None


def _second_is_one(eqn: Equation, made: Made) -> Atom | None:
    x, y = eqn.inputs[0], _spread(eqn, made)[1]
    return x if _is(y, 1) else None


def _minus_zero(atom: Atom) -> bool:
    """Adding -0.0 changes nothing; adding +0.0 turns -0.0 into 0.0, which only integers cannot tell."""
    if not _is(atom, 0):
        return False
    value = np.asarray(atom.value)  # type: ignore[union-attr]  # _is made sure
    return not atom.aval.is_inexact or bool(np.signbit(value))


def _zero(eqn: Equation, made: Made) -> Atom | None:
    (x, y), (p, q) = eqn.inputs, _spread(eqn, made)
    return x if _minus_zero(q) else y if _minus_zero(p) else None


def _second_is_zero(eqn: Equation, made: Made) -> Atom | None:
    """x - 0: exact for every x, -0.0 included."""
    x, y = eqn.inputs[0], _spread(eqn, made)[1]
    return x if _is(y, 0) and not (y.aval.is_inexact and np.signbit(np.asarray(y.value))) else None  # type: ignore[union-attr]


def _twice(eqn: Equation, made: Made) -> Atom | None:
    inner = made.get(eqn.inputs[0])
    return inner.inputs[0] if inner is not None and inner.primitive is eqn.primitive else None


def _identity_permutation(eqn: Equation, made: Made) -> Atom | None:
    return eqn.inputs[0] if eqn.params["perm"] == tuple(range(eqn.inputs[0].aval.ndim)) else None


def _first_power(eqn: Equation, made: Made) -> Atom | None:
    return eqn.inputs[0] if eqn.params["n"] == 1 else None


PATTERNS: dict[str, Callable[[Equation, Made], Atom | None]] = {
    "mul": _one,
    "div": _second_is_one,
    "add": _zero,
    "sub": _second_is_zero,
    "neg": _twice,
    "not": _twice,
    "stop_gradient": _first,
    "copy": _first,
    "reshape": _first,
    "broadcast": _first,
    "convert": _first,
    "slice": _first,
    "transpose": _identity_permutation,
    "integer_pow": _first_power,
}


def simplify(graph: Graph) -> Graph:
    """Equations that return one of their operands, or an operand's operand, unchanged. Never x * 0: x may be
    NaN.

    A replacement must have the output's shape and dtype, so a reshape goes only when it changes nothing."""
    made: Made = {}

    def visit(eqn: Equation) -> Replacement:
        pattern = PATTERNS.get(eqn.primitive.name)
        if pattern is not None:
            atom = pattern(eqn, made)
            if atom is not None and same_type(atom.aval, eqn.outputs[0].aval):
                return [atom]
        made.update((v, eqn) for v in eqn.outputs)
        return None

    return rewrite(graph, visit)
