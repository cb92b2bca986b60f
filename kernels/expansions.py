"""Functions of mathematics as the arithmetic that they consist of, for printers whose target has no such
function."""

from __future__ import annotations

import functools
from typing import NamedTuple

from fnn.kernels.loops import Block, Builder, Value


class Expansion(NamedTuple):
    """A block that computes `result` from `operands`, values that a printer names before it prints the
    block."""

    operands: tuple[Value, ...]
    block: Block
    result: Value


def expansion(v: Value) -> Expansion:
    """What one of loops.MATHEMATICS consists of. Every operation in it is exact."""
    return _expansion(v.op, v.dtype, tuple([_kind(a) for a in v.args]))


def _kind(a: Value) -> float | bool:
    return a.payload if a.op == "const" else a.varying


@functools.lru_cache(maxsize=512, typed=True)
def _expansion(name: str, dtype: str, kinds: tuple[float | bool, ...]) -> Expansion:
    """kinds: of each operand its number, if it is a constant, else whether it varies from lane to lane."""
    from fnn.kernels import mathematics

    b = Builder()
    b.in_lanes = int(any(kind is True for kind in kinds))
    operands = tuple(
        [Value(b, "operand", dtype, (), k, kind, None if kind else 0) if isinstance(kind,
            bool) else b.const(kind, dtype)
         for k, kind in enumerate(kinds)]
    )  # fmt: skip
    with b.exact():
        result = mathematics.expand(b, name, dtype, operands)
    return Expansion(operands, b.block, result)
