"""Differentiation of functions over lists of arrays: a forward trace that carries tangents, and a tape
walked backwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fnn import primitives as P
from fnn.core.aval import Aval
from fnn.core.source import Source, current, here
from fnn.core.trace import Trace, Tracer, aval_of

Flat = Callable[..., Sequence[Any]]
_ONE = (True,)


class Forward(Trace):
    """value = primal, note = tangent. Nothing is recorded."""

    __slots__ = ()
    kind = "jvp"

    def process(self, primitive: Any, args: Sequence[Any], params: dict[str, Any]) -> Any:
        mine = [self.owns(a) for a in args]
        primals = [a.value if m else a for a, m in zip(args, mine, strict=True)]
        tangents = [a.note if m else None for a, m in zip(args, mine, strict=True)]
        out, tangent = primitive.jvp(primals, tangents, params)
        if primitive.prepare:
            self.forbid_captures([*out, *tangent], params)
        if primitive.multiple:
            return [
                o if t is None else Tracer(self, o, t, aval_of(o)) for o, t in zip(out, tangent, strict=True)
            ]
        return out if tangent is None else Tracer(self, out, tangent, aval_of(out))


class Tape(Trace):
    """value = the computed value, note = slot number. Records (pull, argument slots, output slots,
    source)."""

    __slots__ = ("nodes", "slots")
    kind = "grad"

    def __init__(self) -> None:
        super().__init__()
        self.nodes: list[tuple[Callable[..., Any], Sequence[int | None], Any, Source | None]] = []
        self.slots = 0

    def track(self, value: Any) -> Tracer:
        self.slots += 1
        return Tracer(self, value, self.slots, aval_of(value))

    def process(self, primitive: Any, args: Sequence[Any], params: dict[str, Any]) -> Any:
        parents: Sequence[int | None]
        values: Sequence[Any]
        if len(args) == 1:  # the common counts without comprehensions, which cost as much as all the rest
            parents, needs, values = (args[0].note,), _ONE, (args[0].value,)
        elif len(args) == 2:
            x, y = args
            i = x.note if type(x) is Tracer and x.trace is self else None
            j = y.note if type(y) is Tracer and y.trace is self else None
            parents, needs = (i, j), (i is not None, j is not None)
            values = (x if i is None else x.value, y if j is None else y.value)
        else:
            parents = [a.note if type(a) is Tracer and a.trace is self else None for a in args]
            needs = tuple([p is not None for p in parents])
            values = [a.value if n else a for a, n in zip(args, needs)]
        if not primitive.multiple:
            out, pull = primitive.vjp(needs, values, params)
            if pull is None:
                return out
            self.slots = slot = self.slots + 1
            result = Tracer(self, out, slot, aval_of(out))
            self.nodes.append((pull, parents, slot, result.source))
            return result
        out, pull, active = primitive.vjp(needs, values, params)
        if primitive.prepare:
            self.forbid_captures(out, params)
        if pull is None:
            return out
        results = [
            self.track(o) if a and aval_of(o).is_inexact else o for o, a in zip(out, active, strict=True)
        ]
        slots = [r.note if self.owns(r) else None for r in results]
        self.nodes.append((pull, parents, slots, here()))
        return results


class Transposing(Tape):
    """A tape of a forward rule's tangents, in which it is linear."""

    __slots__ = ()

    def process(self, primitive: Any, args: Sequence[Any], params: dict[str, Any]) -> Any:
        if primitive.on_tangents is not None:
            return primitive.on_tangents(args, params)
        return super().process(primitive, args, params)


def _accumulate(table: dict[int, Any], slots: Sequence[int | None], cts: Sequence[Any]) -> None:
    for slot, ct in zip(slots, cts):  # as many as there are operands
        if slot is not None and ct is not None:
            have = table.get(slot)
            table[slot] = ct if have is None else P.add(have, ct)


def jvp_flat(f: Flat, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """f over lists of arrays, with its derivative along tangents; None is a zero tangent, in and out."""
    with Forward() as trace:
        pairs = zip(primals, tangents, strict=True)
        outs = f(*[x if t is None else Tracer(trace, x, t, aval_of(x)) for x, t in pairs])
        mine = [trace.owns(o) for o in outs]
        values = [o.value if m else o for o, m in zip(outs, mine, strict=True)]
        return values, [o.note if m else None for o, m in zip(outs, mine, strict=True)]


def vjp_flat(
    f: Flat, args: Sequence[Any], needs: Sequence[bool], kind: type[Tape] = Tape
) -> tuple[list[Any], Callable[..., list[Any]]]:
    """(outputs, pull): f runs once; pull(cotangents, once=False) walks its tape backwards, from cotangents
    of the outputs to cotangents of the arguments (None = zero, both ways). With `once` the tape is freed
    while it is walked."""
    with kind() as tape:
        inputs = [tape.track(x) if n else x for x, n in zip(args, needs, strict=True)]
        outs = f(*inputs)
        mine = [tape.owns(o) for o in outs]
        in_slots = [x.note if n else None for x, n in zip(inputs, needs, strict=True)]
        out_slots = [o.note if m else None for o, m in zip(outs, mine, strict=True)]
        values = [o.value if m else o for o, m in zip(outs, mine, strict=True)]
    nodes = tape.nodes

    def pull(cts: Sequence[Any], once: bool = False) -> list[Any]:
        table: dict[int, Any] = {}
        outer = current.source
        _accumulate(table, out_slots, cts)
        try:
            for index in range(len(nodes) - 1, -1, -1):
                back, parents, slots, current.source = nodes[index]
                if once:
                    nodes.pop()
                if type(slots) is int:
                    ct = table.pop(slots, None)
                    if ct is not None:
                        for parent, found in zip(parents, back(ct)):  # as many as there are operands
                            if parent is not None and found is not None:
                                have = table.get(parent)
                                table[parent] = found if have is None else P.add(have, found)
                else:
                    several = [None if s is None else table.pop(s, None) for s in slots]
                    if any(c is not None for c in several):
                        _accumulate(table, parents, back(several))
        finally:
            current.source = outer
        return [None if s is None else table.get(s) for s in in_slots]

    return values, pull


def fill(value: Any, aval: Aval) -> Any:
    """A symbolic zero made real."""
    return P.zeros(aval.strong()) if value is None else value
