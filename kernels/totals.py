"""How long sums and products stay accurate: sums are made of short ones, and the totals of those keep what they round
off; products, to which every factor adds its own rounding, are taken in float64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fnn.kernels.loops import Builder, Value

COLUMN_BLOCK = 16  # rows of a column reduction that go straight into one sum


def column_block(sizes: Sequence[int]) -> tuple[int, int] | None:
    """Of the reduced axes of a column reduction, the one that is walked in blocks, each with sums of its own, and the
    steps in a block; None where everything is one block."""
    behind = 1
    for d in reversed(range(len(sizes))):
        if sizes[d] * behind > COLUMN_BLOCK:
            return d, 1 << (COLUMN_BLOCK // behind).bit_length() - 1
        behind *= sizes[d]
    return None


def partial_code(combine: str, code: str) -> str:
    """In what a reduction of these elements is gathered until the end."""
    return "f8" if combine == "mul" and code[0] == "f" else code


class Total:
    """What a reduction has come to, of parts that are few beside its elements. A sum of floating point keeps
    what its additions round off (D. Knuth's two-sum), so that its error is that of the parts."""

    def __init__(self, b: Builder, combine: str, code: str, start: Any):
        self.b, self.combine, self.kept = b, combine, keeps_rest(combine, code)
        self.state = [b.variable(code, x) for x in ((start, 0.0) if self.kept else (start,))]

    def add(self, part: Value) -> None:
        new = added(self.b, self.combine, [v.value for v in self.state], part)
        for variable, value in zip(reversed(self.state), reversed(new), strict=True):
            variable.set(value)

    @property
    def value(self) -> Value:
        return total_of(self.b, [v.value for v in self.state])


def keeps_rest(combine: str, code: str) -> bool:
    """Does a total consist of two numbers, the second what was rounded off?"""
    return combine == "add" and code[0] == "f"


def added(b: Builder, combine: str, state: Sequence[Value], part: Value) -> list[Value]:
    """A total with one more part."""
    old = state[0]
    if len(state) == 1:
        return [b.op(combine, old, part)]
    with b.exact():
        new = old + part
        other = new - old
        return [new, state[1] + ((old - (new - other)) + (part - other))]


def total_of(b: Builder, state: Sequence[Value]) -> Value:
    """The number a total stands for."""
    if len(state) == 1:
        return state[0]
    high, low = state  # beside an infinity what was rounded off is NaN
    return b.select(low.eq(low), high + low, high)
