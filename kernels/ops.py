"""Ops: what is left of a graph when structure has become views. An op is a map, a reduction, a contraction,
or opaque."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fnn.core.source import Source
from fnn.kernels.calls import Value
from fnn.kernels.loops import MATHEMATICS, Block, Builder, code_of, computed
from fnn.kernels.loops import Value as LoopValue
from fnn.kernels.views import Position, View, cuts_of
from fnn.records import field, record

Mask = tuple[tuple[int, bool], ...]  # ((size, reduced?), ...)


class Scalar:
    """A constant operand, the same at every point. `text` says it exactly, NaN and infinities included; `given` is the
    Python number that it was made of, which a wider dtype holds with more digits."""

    __slots__ = ("dtype", "text", "given")

    def __init__(self, value: Any, dtype: np.dtype):
        """value: a Python number or an array of one element; it is converted to dtype (and so rounded to
        it)."""
        array = np.asarray(value)
        self.given = value if type(value) is float else None
        if array.dtype.names:
            array = array.view("u8")
        elif array.dtype != dtype:
            with np.errstate(all="ignore"):
                array = array.astype(dtype)
        code, item = code_of(dtype), array.reshape(())
        self.dtype = np.dtype(dtype)
        self.text = (
            repr(bool(item)) if code == "b1" else repr(float(item)) if code[0] in "fb" else repr(int(item))
        )

    @property
    def number(self) -> int | float | bool:
        return number(self.text, code_of(self.dtype))

    def cast(self, dtype: np.dtype) -> Scalar:
        if dtype == self.dtype:
            return self
        if self.given is not None and dtype.kind == "f":
            return Scalar(self.given, dtype)
        return Scalar(np.asarray(self.number).astype(self.dtype), dtype)


def number(text: str, code: str) -> int | float | bool:
    """The Python number a constant's text says."""
    return text == "True" if code == "b1" else float(text) if code[0] in "fb" else int(text)


@record(frozen=True)
class Expression:
    """One scalar expression: write(b, *operands) -> loop value (a sequence of them if `item` says which one
    is meant).

    Equal labels mean equal expressions; a primitive's name and parameters make its label, and the program it
    writes if the primitive is not fnn's own."""

    label: str
    write: Callable[..., Any] = field(compare=False)
    item: int | None = None

    def weight(self, codes: tuple[str, ...]) -> int:
        """About how many additions its evaluation costs, operands of these types given."""
        return _weight(self, codes)

    def content(self, codes: tuple[str, ...]) -> str:
        """Names what it does with operands of these types, whatever it is called."""
        b = Builder()
        made = self.write(b, *[b.load(b.argument(code), 0) for code in codes])
        for value in made if isinstance(made, (list, tuple)) else [made]:
            b.store(b.argument(value.dtype, output=True), 0, value)
        return b.program.key


@functools.lru_cache(maxsize=8192)
def _weight(expression: Expression, codes: tuple[str, ...]) -> int:
    b = Builder()
    expression.write(b, *[b.load(b.argument(code), 0) for code in codes])

    def total(block: Block) -> int:
        out = 0
        for item in block.items:
            if isinstance(item, LoopValue):
                out += (
                    0
                    if item.op == "load"
                    else 8
                    if item.op in MATHEMATICS
                    else 3
                    if item.op in ("div", "rem", "sqrt")
                    else 1
                )
            else:
                out += (8 if item.kind in ("loop", "while") else 1) * sum(map(total, item.blocks))
        return out

    return max(1, total(b.program.body))


COPY = Expression("copy", lambda b, x: x)
MULTIPLY = Expression("mul", lambda b, x, y: b.op("mul", x, y))
AND = Expression("and", lambda b, x, y: b.op("and", x, y))


def cast_to(code: str) -> Expression:
    """Conversion by value."""
    return Expression(f"cast:{code}", lambda b, x: b.cast(x, computed(code)))


class Op:
    """kind: "map" (an expression at every point of `shape`), "reduce" (along `axes` of `shape`, by
    `combine`), "dot" or "opaque" (a kernel, a library routine, control flow: `payload` says). inputs: views
    and scalars. outs: views; an op may fill part of a value. after: ops that must run before, though nothing
    of theirs is read."""

    __slots__ = (
        "kind",
        "expression",
        "combine",
        "axes",
        "inputs",
        "outs",
        "shape",
        "size",
        "after",
        "payload",
        "source",
        "index",
        "views",
        "mask",
    )

    def __init__(
        self,
        kind: str,
        inputs: Sequence[View | Scalar],
        outs: Sequence[View],
        shape: Sequence[int],
        source: Source | None,
        *,
        expression: Expression = COPY,
        combine: str = "",
        axes: tuple[int, ...] = (),
        after: Sequence[Op] = (),
        payload: Any = None,
    ):
        self.kind, self.inputs, self.outs, self.shape = kind, tuple(inputs), list(outs), tuple(shape)
        self.size = math.prod(self.shape)
        self.expression, self.combine, self.axes = expression, combine, axes
        self.after, self.payload, self.source = tuple(after), payload, source
        self.views = tuple([v for v in self.inputs if isinstance(v, View) and isinstance(v.value, Value)])
        self.mask: Mask | None = reduction_mask(self.shape, axes) if kind == "reduce" else None
        self.index = -1

    @property
    def out(self) -> View:
        return self.outs[0]

    @property
    def name(self) -> str:
        return (
            f"reduce_{self.combine}"
            if self.kind == "reduce"
            else self.expression.label
            if self.kind == "map"
            else self.kind
        )

    @property
    def rounds(self) -> bool:
        """Must the result be rounded to its half-precision type even while it stays in a register? Arithmetic
        on bfloat16 and float16 keeps the float32 results of what is fused into one kernel; a change of type
        does not."""
        code = code_of(self.out.dtype)
        return (
            code in ("f2", "bf")
            and self.kind == "map"
            and any(code_of(x.dtype) not in (code, "b1") for x in self.inputs)
        )

    def weight(self) -> int:
        if self.kind != "map":
            return 1
        return self.expression.weight(tuple([code_of(x.dtype) for x in self.inputs])) + 8 * self.rounds


def reduction_mask(shape: Sequence[int], axes: Sequence[int]) -> Mask:
    """((size, reduced?), ...) with equal neighbours merged: what two reductions must share to share a
    loop."""
    out: list[tuple[int, bool]] = []
    for d, n in enumerate(shape):
        if n == 1:
            continue
        if out and out[-1][1] == (d in axes):
            out[-1] = (out[-1][0] * n, d in axes)
        else:
            out.append((n, d in axes))
    return tuple(out)


def mask_cuts(mask: Mask) -> frozenset[int]:
    return frozenset(cuts_of([n for n, _ in mask]))


def identity(combine: str, dtype: np.dtype) -> int | float | bool:
    """What a reduction starts from."""
    code = code_of(dtype)
    if combine in ("add", "or", "xor"):
        return False if code == "b1" else 0.0 if code[0] == "f" or code == "bf" else 0
    if combine == "mul":
        return True if code == "b1" else 1.0 if code[0] == "f" or code == "bf" else 1
    if combine == "and":
        return True if code == "b1" else -1 if code[0] == "i" else (1 << 8 * dtype.itemsize) - 1
    if code == "b1":
        return combine == "min"
    if code[0] == "f" or code == "bf":
        return -math.inf if combine == "max" else math.inf
    info = np.iinfo(dtype)
    return int(info.min if combine == "max" else info.max)


Writers = dict[Value | Position, list[Op]]  # per value the ops that fill it, in order
