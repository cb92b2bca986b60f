"""Carries that a loop's kernel keeps in memory, where it updates them in place: buffers and tables of which a
step writes a few elements and reads a few."""

from __future__ import annotations

from fnn.core.ir import Atom, Equation, Graph, Var
from fnn.core.lowering import Contraction, Elementwise, IndexMap, Kernel, Reduction

SMALL = 8  # elements that are better held in registers all the same


def updated_in_place(graph: Graph, first: int, count: int) -> dict[int, frozenset[Equation]]:
    """Of a body whose carry is its inputs from `first` on: the carries that may stay in one place, and the
    equations that update them there.

    Such a carry's next value is the end of a chain of updates; each of the values before is read for the last
    time by the update that replaces it."""
    place = {e: k for k, e in enumerate(graph.equations)}
    makers = {v: e for e in graph.equations for v in e.outputs}
    users: dict[Atom, list[Equation]] = {}
    for e in graph.equations:
        for a in e.inputs:
            users.setdefault(a, []).append(e)

    def chain(start: Var, end: Atom) -> list[tuple[Var, Equation]] | None:
        """(a value, the update that replaces it), last first; None if the way from the end does not lead to the
        start."""
        out: list[tuple[Var, Equation]] = []
        while end is not start:
            e = makers.get(end) if isinstance(end, Var) else None
            if e is None or not isinstance(e.primitive.lower, Kernel):
                return None
            source = dict(e.primitive.lower.in_place).get(e.outputs.index(end))  # type: ignore[arg-type]  # a Var
            before = None if source is None else e.inputs[source]
            if not isinstance(before, Var) or e.inputs.count(before) > 1 or before.aval != end.aval:
                return None
            out.append((before, e))
            end = before
        return out

    found: dict[int, frozenset[Equation]] = {}
    for k in range(count):
        start, end = graph.inputs[first + k], graph.outputs[k]
        if end is start or start.aval.size <= SMALL or graph.outputs[:count].count(end) > 1:
            continue
        links = chain(start, end)
        if links and all(
            old not in graph.outputs
            and all(e is update or (place[e] < place[update] and _reads(e)) for e in users[old])
            for old, update in links
        ):
            found[k] = frozenset(update for _, update in links)
    return found


def _reads(eqn: Equation) -> bool:
    """Does an equation read its operands there and then, and leave no second name for them?"""
    way = eqn.primitive.lower
    if isinstance(way, IndexMap):
        return way.kind not in ("reshape", "identity")
    return isinstance(way, Kernel | Elementwise | Reduction | Contraction)
