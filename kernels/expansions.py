"""Functions of mathematics as the arithmetic that they consist of, for printers whose target has no such
function."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

from fnn.kernels.loops import MATHEMATICS, Block, Builder, Statement, Value
from fnn.kernels.mathematics import expand


class Expansion(NamedTuple):
    """A block that computes `result` from `operands`, values that a printer names before it prints the block.
    weight: how many operations it consists of."""

    operands: tuple[Value, ...]
    block: Block
    result: Value
    weight: int


def expansion(v: Value) -> Expansion:
    """What one of loops.MATHEMATICS consists of. Every operation in it is exact."""
    return _expansion(v.op, v.dtype, tuple([_kind(a) for a in v.args]))


def weight(items: Sequence[Value | Statement]) -> int:
    """How many operations the items of a block are, those of functions of mathematics included, without what
    is rare in them."""
    count = len(items)
    for item in items:
        if isinstance(item, Statement) and item.kind != "rarely":
            count += sum([weight(inner.items) for inner in item.blocks])
        elif isinstance(item, Value) and item.op in MATHEMATICS:
            count += expansion(item).weight
    return count


class Constant(NamedTuple):
    """A constant operand. By its text too: 1.0 is not True, and 0.0 is not -0.0, though they compare equal."""

    text: str
    number: float


def _kind(a: Value) -> Constant | bool:
    return Constant(repr(a.payload), a.payload) if a.op == "const" else a.varying


@functools.lru_cache(maxsize=512)
def _expansion(name: str, dtype: str, kinds: tuple[Constant | bool, ...]) -> Expansion:
    """kinds: of each operand its number, if it is a constant, else whether it varies from lane to lane."""
    b = Builder()
    b.in_lanes = int(any(kind is True for kind in kinds))
    operands = tuple([_operand(b, dtype, k, kind) for k, kind in enumerate(kinds)])
    with b.exact():
        result = expand(b, name, dtype, operands)
    return Expansion(operands, b.block, result, weight(b.block.items))


def _operand(b: Builder, dtype: str, position: int, kind: Constant | bool) -> Value:
    if isinstance(kind, bool):
        return Value(b, "operand", dtype, (), position, kind, None if kind else 0)
    return b.const(kind.number, dtype)
