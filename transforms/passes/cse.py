"""Common subexpression elimination."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from fnn.core.ir import Atom, Equation, Graph, Literal, has_effect
from fnn.transforms.passes.rewriting import Replacement, rewrite


def atom_key(atom: Atom) -> Hashable:
    """Equal for atoms that are sure to hold the same value: numbers by their bits, arrays by identity."""
    if type(atom) is not Literal:
        return atom
    value: Any = atom.value
    if np.ndim(value) == 0:
        return atom.aval, np.asarray(value).tobytes(), type(value)
    return id(value)


def cse(graph: Graph) -> Graph:
    """Equal equations are computed once, those with effects excepted."""
    seen: dict[Hashable, Equation] = {}

    def visit(eqn: Equation) -> Replacement:
        if has_effect(eqn):
            return None
        key = (eqn.primitive, tuple([atom_key(a) for a in eqn.inputs]), tuple(eqn.params.items()))
        first = seen.setdefault(key, eqn)
        return None if first is eqn else first.outputs

    return rewrite(graph, visit)
