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
        self.b, self.combine, self.kept = b, combine, combine == "add" and code[0] == "f"
        self.high = b.variable(code, start)
        if self.kept:
            self.low = b.variable(code, 0.0)

    def add(self, part: Value) -> None:
        old = self.high.value
        if not self.kept:
            self.high.set(self.b.op(self.combine, old, part))
            return
        with self.b.exact():
            new = old + part
            other = new - old
            self.low.set(self.low.value + ((old - (new - other)) + (part - other)))
            self.high.set(new)

    @property
    def value(self) -> Value:
        high = self.high.value
        if not self.kept:
            return high
        # beside an infinity what was rounded off is NaN
        low = self.low.value
        return self.b.select(low.eq(low), high + low, high)
