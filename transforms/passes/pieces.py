"""Arrays that are split into pieces, or put together from some.

slices of f(x), read by elementwise work   f of slices of x: pieces are computed where they are used
a sum of pads that do not overlap          one concatenation: the gradient of a split needs no sum"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fnn import primitives as P
from fnn.core.ir import Atom, Equation, Graph, Literal, Var
from fnn.core.lowering import Elementwise
from fnn.transforms.passes.dce import dce


def pieces(graph: Graph) -> Graph:
    """The graph with slices taken early and pads joined."""
    names = {e.primitive.name for e in graph.equations}
    if "pad" in names and "add" in names:
        graph = _joined(graph)
    if "slice" in names:
        graph = _sliced(graph)
    return graph


Users = dict[Atom, list[Equation | None]]


def _users(graph: Graph) -> Users:
    """Per variable the equations that read it; None: it is a result."""
    users: Users = {}
    for e in graph.equations:
        for a in e.inputs:
            users.setdefault(a, []).append(e)
    for a in graph.outputs:
        users.setdefault(a, []).append(None)
    return users


# -- slices ----------------------------------------------------------------------------------------------------


def _sliced(graph: Graph) -> Graph:
    users = _users(graph)
    instead: dict[Equation, list[Equation]] = {}
    for eqn in reversed(graph.equations):
        if isinstance(eqn.primitive.lower, Elementwise) and _only_sliced(eqn, users):
            for piece in users[eqn.outputs[0]]:
                assert piece is not None
                operands: list[Atom] = []
                made: list[Equation] = []
                for a in eqn.inputs:
                    if a.aval.shape:
                        out = Var(a.aval.update(shape=piece.outputs[0].aval.shape))
                        made.append(Equation(piece.primitive, [a], [out], piece.params, piece.source))
                        users[a] = [*(u for u in users[a] if u is not eqn), made[-1]]
                        users[out] = []
                        a = out
                    operands.append(a)
                new = Equation(eqn.primitive, operands, piece.outputs, eqn.params, eqn.source)
                for a in operands:
                    users.setdefault(a, []).append(new)
                instead[piece] = [*made, new]
            instead[eqn] = []
    if not instead:
        return graph
    equations: list[Equation] = []

    def emit(e: Equation) -> None:
        if e in instead:
            for part in instead[e]:
                emit(part)
        else:
            equations.append(e)

    for e in graph.equations:
        emit(e)
    return Graph(graph.inputs, graph.outputs, equations)


def _only_sliced(eqn: Equation, users: Users) -> bool:
    """Is a result read only in slices, no element twice, and those only by elementwise work?"""
    if len(eqn.outputs) != 1:
        return False
    total = 0
    readers = users.get(eqn.outputs[0], [])
    for piece in readers:
        if piece is None or piece.primitive.name != "slice" or any(s != 1 for s in piece.params["step"]):
            return False
        total += piece.outputs[0].aval.size
        after = users.get(piece.outputs[0], [])
        if not after or not all(u is not None and isinstance(u.primitive.lower, Elementwise) for u in after):
            return False
    return bool(readers) and total <= eqn.outputs[0].aval.size


# -- pads ------------------------------------------------------------------------------------------------------


def _joined(graph: Graph) -> Graph:
    users = _users(graph)
    makers = {v: e for e in graph.equations for v in e.outputs}
    equations: list[Equation] = []
    found = False
    for eqn in graph.equations:
        if eqn.primitive.name == "add" and not _is_term(eqn, users):
            terms = _terms(eqn, makers, users)
            once = [t for t in terms if isinstance(t, Var) and terms.count(t) == 1]
            boxes = [makers[t] for t in once if _box(makers.get(t)) is not None]
            chosen = _apart(boxes)
            if len(chosen) > 1:
                found = True
                rest = [t for t in terms if not (isinstance(t, Var) and makers.get(t) in chosen)]
                equations += _concatenated(chosen, rest, eqn)
                continue
        equations.append(eqn)
    return dce(Graph(graph.inputs, graph.outputs, equations)) if found else graph


def _is_term(eqn: Equation, users: Users) -> bool:
    """Is a sum itself a term of one sum, and of nothing else?"""
    readers = users.get(eqn.outputs[0], [])
    return len(readers) == 1 and readers[0] is not None and readers[0].primitive.name == "add" and (
        readers[0].outputs[0].aval == eqn.outputs[0].aval
    )  # fmt: skip


def _terms(
    eqn: Equation, makers: dict[Var, Equation], users: dict[Atom, list[Equation | None]]
) -> list[Atom]:
    """What a tree of sums adds up."""
    out: list[Atom] = []
    todo = list(reversed(eqn.inputs))
    while todo:
        a = todo.pop()
        e = makers.get(a) if isinstance(a, Var) else None
        if e is not None and e.primitive.name == "add" and _is_term(e, users):
            todo += reversed(e.inputs)
        else:
            out.append(a)
    return out


def _box(eqn: Equation | None) -> tuple[int, int, int] | None:
    """(axis, first, last + 1) of a pad with zeros along one axis."""
    if eqn is None or eqn.primitive.name != "pad" or not isinstance(eqn.inputs[1], Literal):
        return None
    p, shape = eqn.params, eqn.inputs[0].aval.shape
    if np.any(np.asarray(eqn.inputs[1].value)) or any(p["interior"]) or min((*p["low"], *p["high"])) < 0:
        return None
    axes = [d for d in range(len(shape)) if p["low"][d] or p["high"][d]]
    if len(axes) != 1 or not math.prod(shape) or eqn.inputs[0].aval.dtype != eqn.outputs[0].aval.dtype:
        return None
    (d,) = axes
    return d, p["low"][d], p["low"][d] + shape[d]


def _apart(boxes: Sequence[Equation]) -> list[Equation]:
    """Pads along one axis that do not overlap, in order."""
    ordered = sorted(dict.fromkeys(boxes), key=lambda e: _box(e))  # type: ignore[arg-type, return-value]
    out: list[Equation] = []
    for e in ordered:
        axis, lo, _ = _box(e)  # type: ignore[misc]  # they are boxes
        if not out or (_box(out[-1])[0] == axis and lo >= _box(out[-1])[2]):  # type: ignore[index]
            out.append(e)
    return out


def _concatenated(boxes: Sequence[Equation], rest: Sequence[Atom], root: Equation) -> list[Equation]:
    """Equations for root's value: the boxes side by side, zeros between them, and the other terms added."""
    target, made, parts = root.outputs[0], [], []
    at, axis = 0, _box(boxes[0])[0]  # type: ignore[index]

    def zeros(count: int) -> None:
        if count:
            shape = (*target.aval.shape[:axis], count, *target.aval.shape[axis + 1 :])
            out = Var(target.aval.update(shape=shape, weak_type=False))
            zero = boxes[0].inputs[1]
            made.append(Equation(P.broadcast, [zero], [out], {"shape": shape, "axes": ()}, root.source))
            parts.append(out)

    for e in boxes:
        _, lo, hi = _box(e)  # type: ignore[misc]
        zeros(lo - at)
        parts.append(e.inputs[0])
        at = hi
    zeros(target.aval.shape[axis] - at)
    whole = target if not rest else Var(target.aval)
    made.append(Equation(P.concatenate, parts, [whole], {"axis": axis}, root.source))
    for k, term in enumerate(rest):
        out = target if k == len(rest) - 1 else Var(target.aval)
        made.append(Equation(root.primitive, [whole, term], [out], {}, root.source))
        whole = out
    return made
