"""Why a jitted function was traced again: what each signature has that the ones before it had not."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Hashable, Iterator
from typing import Any

from fnn.core.aval import Aval
from fnn.core.source import Source, function_place, short
from fnn.records import record

_LISTED = 8  # differences written out; of more only their number
_COMPARED = 100  # earlier signatures that one is compared with


@record(frozen=True)
class Signature:
    """What one traced program of a function is for. place: the line of the call that traced it; name: number
    of a leaf -> how the caller would write it; static: (positions, names) of static arguments with their values;
    axes: the named axes around the call, with their sizes."""

    structure: Any
    avals: tuple[Aval, ...]
    static: tuple[tuple[tuple[int, Any], ...], tuple[tuple[str, Any], ...]]
    axes: tuple[tuple[Hashable, int], ...]
    enable_x64: bool
    place: Source | None
    name: Callable[[int], str]

    @functools.cached_property
    def leaves(self) -> dict[str, Aval]:
        """How a leaf is written -> its type."""
        return {self.name(i): a for i, a in enumerate(self.avals)}

    @functools.cached_property
    def statics(self) -> dict[str, Any]:
        """How a static argument is written -> its value."""
        positions, names = self.static or ((), ())
        return {f"argument {i}": v for i, v in positions} | dict(names)


@record(frozen=True)
class Tracing:
    """One time a function was traced. number counts from 1; reasons: how it differs from `nearest`, the number of
    the earlier tracing that is most like it (0: it is the first)."""

    number: int
    place: str
    nearest: int
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        if not self.nearest:
            return f"{self.number}. {self.place}: the first call, with {_listed(self.reasons)}"
        return f"{self.number}. {self.place}: unlike {self.nearest}., {_listed(self.reasons)}"


@record(frozen=True)
class Explanation:
    """Every tracing of a function, in order. applied: how often jit was applied to it."""

    function: str
    tracings: tuple[Tracing, ...]
    applied: int

    def __str__(self) -> str:
        times = {0: "has not been traced", 1: "was traced once"}.get(
            len(self.tracings), f"was traced {len(self.tracings)} times"
        )
        lines = [f"{self.function} {times}", *(f"  {t}" for t in self.tracings)]
        if self.applied > 1:
            lines.append(
                f"  jit was applied to it {self.applied} times, and each result traces and compiles for itself: "
                "apply it once, outside of loops and of functions that are called often"
            )
        return "\n".join(lines)


def explain(function: Any, signatures: list[Signature], applied: int) -> Explanation:
    """Compare each signature with the most similar one before it."""
    tracings = [_tracing(signatures, k) for k in range(len(signatures))]
    return Explanation(function_place(function), tuple(tracings), applied)


def report(function: Any, signatures: list[Signature]) -> None:
    """Write on stderr why the last signature was traced (FNN_LOG=compile)."""
    print(
        f"fnn: trace {function_place(function)} {_tracing(signatures, len(signatures) - 1)}", file=sys.stderr
    )


def _tracing(signatures: list[Signature], k: int) -> Tracing:
    new = signatures[k]
    place = short(new.place)
    if not k:
        reasons = [f"{name}: {aval}" for name, aval in new.leaves.items()]
        reasons += [f"static {name} = {value!r}" for name, value in new.statics.items()]
        return Tracing(1, place, 0, tuple(reasons) or ("no arguments",))
    # The latest of the most similar ones: what a person has just changed is what they look for.
    earlier = range(max(0, k - _COMPARED), k)
    differences = {i: tuple(_differences(signatures[i], new)) for i in earlier}
    best = min(earlier, key=lambda i: (len(differences[i]), -i))
    same = ("nothing: the function closes over a traced array, and the trace it belonged to has ended",)
    return Tracing(k + 1, place, best + 1, differences[best] or same)


def _differences(old: Signature, new: Signature) -> Iterator[str]:
    """What changed, from what, to what, and what can be done about it."""
    was, now = old.leaves, new.leaves
    for name in now:
        if name not in was:
            yield f"{name} is new: {now[name]}"
        elif was[name] is not now[name]:
            yield f"{name}: {was[name]} -> {now[name]}{_hint(was[name], now[name])}"
    yield from (f"{name} is gone" for name in was if name not in now)
    if old.structure != new.structure and was.keys() == now.keys():
        yield f"containers: {_difference(str(old.structure), str(new.structure))}"
    before, after = old.statics, new.statics
    for name in dict.fromkeys([*before, *after]):
        a, b = (repr(x[name]) if name in x else "not given" for x in (before, after))
        if name not in before or name not in after or before[name] != after[name] or a != b:
            yield f"static {name}: {a} -> {b} (each value is a program of its own)"
    if old.axes != new.axes:
        yield f"named axes around the call: {dict(old.axes)} -> {dict(new.axes)}"
    if old.enable_x64 != new.enable_x64:
        yield f"enable_x64: {old.enable_x64} -> {new.enable_x64}"


def _hint(old: Aval, new: Aval) -> str:
    if old.dtype != new.dtype:
        return " (convert it before the call)"
    if old.shape == new.shape:
        return " (* marks a Python number: always pass an array, or always a number)"
    if len(old.shape) == len(new.shape):
        axes = [i for i, (m, n) in enumerate(zip(old.shape, new.shape, strict=True)) if m != n]
        return f" (axis {', '.join(map(str, axes))}: pad to one size, or drop what does not fill it)"
    return ""


def _difference(old: str, new: str, context: int = 30) -> str:
    """Two texts, cut down to where they part."""
    at = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    start = max(0, at - context)
    return " -> ".join(
        ("..." if start else "") + text[start : at + context] + ("..." if at + context < len(text) else "")
        for text in (old, new)
    )


def _listed(reasons: tuple[str, ...]) -> str:
    more = f", and {len(reasons) - _LISTED} more" if len(reasons) > _LISTED else ""
    return "; ".join(reasons[:_LISTED]) + more
