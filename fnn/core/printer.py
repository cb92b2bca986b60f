"""Graphs as text: one typed equation a line."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fnn.core.ir import Atom, Graph, Literal, Var, subgraphs
from fnn.core.source import short


def names() -> Iterator[str]:
    """a, b, ..., z, aa, ab, ..."""
    for size in itertools.count(1):
        for word in itertools.product("abcdefghijklmnopqrstuvwxyz", repeat=size):
            yield "".join(word)


def parameter_text(value: Any) -> str:
    """A parameter of an equation, briefly."""
    if isinstance(value, np.dtype):
        return value.name
    if callable(value):
        return getattr(value, "__name__", type(value).__name__)
    text = str(value)
    return text if len(text) <= 120 else text[:117] + "..."


def literal_text(atom: Literal) -> str:
    """A constant operand: a number, or the type of an array."""
    if np.ndim(atom.value) == 0 and not atom.aval.dtype.names:
        return repr(np.asarray(atom.value).item())
    return f"const:{atom.aval}"


def pretty(graph: Graph, sources: bool = False, title: str = "graph") -> str:
    """One equation a line, typed; `sources=True` puts the user's line into the margin."""
    return "\n".join(_lines(graph, sources, title))


def _lines(graph: Graph, sources: bool, title: str) -> Iterator[str]:
    known: dict[Var, str] = {}
    fresh = names()

    def name(atom: Atom) -> str:
        if isinstance(atom, Literal):
            return literal_text(atom)
        if atom not in known:
            known[atom] = next(fresh)
        return known[atom]

    def typed(variables: Sequence[Var]) -> str:
        return ", ".join(f"{name(v)}: {v.aval}" for v in variables)

    yield f"{title} ({typed(graph.inputs)}) {{"
    for eqn in graph.equations:
        inner = list(subgraphs(eqn.params))
        nested = {key for key, _ in inner}
        plain = ", ".join(f"{k}={parameter_text(v)}" for k, v in eqn.params.items() if k not in nested)
        line = f"  {typed(eqn.outputs)} = {eqn.primitive.name}{f'[{plain}]' if plain else ''}"
        line += "".join(f" {name(a)}" for a in eqn.inputs)
        yield line + (f"  # {short(eqn.source)}" if sources and eqn.source else "")
        for key, body in inner:
            yield from (f"    {line}" for line in _lines(body, sources, key))
    yield f"  return {', '.join(map(name, graph.outputs))}"
    yield "}"
