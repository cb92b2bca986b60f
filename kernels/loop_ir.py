"""What a loop program consists of, and how it is printed. See `fnn.kernels.loops`, through which all of it is
imported."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fnn import dtypes

if TYPE_CHECKING:
    from fnn.kernels.loops import Builder

# Element types: b1 is a byte in memory, f2 and bf are computed as f4.
CODES = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "bf", "f4", "f8")
INDEX = "i8"
BYTES = {
    "b1": 1, "i1": 1, "i2": 2, "i4": 4, "i8": 8, "u1": 1, "u2": 2, "u4": 4, "u8": 8, "f2": 2, "bf": 2,
    "f4": 4, "f8": 8,
}  # fmt: skip
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
# Integers wrap. div and rem truncate (by zero: -1, and the dividend); a shift by the width or more gives 0 or
# the sign's copies; shr is arithmetic for signed types. min and max pass NaN on. fma rounds once. popcount,
# clz: of integers.
ARITHMETIC = (
    "add", "sub", "mul", "div", "rem", "min", "max", "and", "or", "xor", "shl", "shr", "neg", "not",
    "abs", "fma", "sqrt", "floor", "ceil", "trunc", "rint", "copysign", "popcount", "clz",
)  # fmt: skip
# Functions of f4 and f8 that a printer expands with `fnn.kernels.mathematics` unless its target has them.
MATHEMATICS = (
    "exp", "exp2", "expm1", "log", "log2", "log1p", "sin", "cos", "tan", "asin", "acos", "atan", "atan2",
    "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "erf", "erfc", "erf_inv", "lgamma", "digamma",
    "pow", "cbrt", "logistic", "nextafter", "rsqrt",
)  # fmt: skip
TURN = 8  # rows and columns of the blocks that `Builder.turn` copies
COMBINERS = ("add", "mul", "max", "min", "and", "or", "xor")


@functools.cache
def code_of(dtype: object) -> str:
    """The element type of an array dtype: bfloat16 is "bf", PRNG keys are "u8"."""
    dtype = np.dtype(dtype)  # type: ignore[call-overload]  # any dtype-like
    if dtype == dtypes.bfloat16:
        return "bf"
    if dtypes.is_key(dtype):
        return "u8"
    if dtype.kind == "b":
        return "b1"
    code = f"{dtype.kind}{dtype.itemsize}"
    if code not in CODES:
        raise TypeError(f"kernels have no element type for {dtype}")
    return code


def computed(code: str) -> str:
    """The type in which values of this element type are computed."""
    return "f4" if code in ("f2", "bf") else code


class Value:
    """An SSA value. `step`: how much an integer grows from lane to lane, None if unknown; 0 if uniform.
    `exact`: it is rounded as written (see Builder.exact)."""

    __slots__ = ("builder", "op", "dtype", "args", "payload", "varying", "step", "exact", "number")

    def __init__(
        self,
        builder: Builder,
        op: str,
        dtype: str,
        args: tuple[Value, ...],
        payload: Any,
        varying: bool,
        step: int | None,
    ):
        self.builder, self.op, self.dtype, self.args, self.payload = builder, op, dtype, args, payload
        self.varying, self.step, self.exact, self.number = varying, step, False, -1

    # fmt: off
    def __add__(self, other: Operand) -> Value: return self.builder.op("add", self, other)
    def __radd__(self, other: Operand) -> Value: return self.builder.op("add", other, self)
    def __sub__(self, other: Operand) -> Value: return self.builder.op("sub", self, other)
    def __rsub__(self, other: Operand) -> Value: return self.builder.op("sub", other, self)
    def __mul__(self, other: Operand) -> Value: return self.builder.op("mul", self, other)
    def __rmul__(self, other: Operand) -> Value: return self.builder.op("mul", other, self)
    def __truediv__(self, other: Operand) -> Value: return self.builder.op("div", self, other)
    def __rtruediv__(self, other: Operand) -> Value: return self.builder.op("div", other, self)
    def __floordiv__(self, other: Operand) -> Value: return self.builder.op("div", self, other)
    def __mod__(self, other: Operand) -> Value: return self.builder.op("rem", self, other)
    def __and__(self, other: Operand) -> Value: return self.builder.op("and", self, other)
    def __or__(self, other: Operand) -> Value: return self.builder.op("or", self, other)
    def __xor__(self, other: Operand) -> Value: return self.builder.op("xor", self, other)
    def __lshift__(self, other: Operand) -> Value: return self.builder.op("shl", self, other)
    def __rshift__(self, other: Operand) -> Value: return self.builder.op("shr", self, other)
    def __neg__(self) -> Value: return self.builder.op("neg", self)
    def __invert__(self) -> Value: return self.builder.op("not", self)
    def __lt__(self, other: Operand) -> Value: return self.builder.op("lt", self, other)
    def __le__(self, other: Operand) -> Value: return self.builder.op("le", self, other)
    def __gt__(self, other: Operand) -> Value: return self.builder.op("gt", self, other)
    def __ge__(self, other: Operand) -> Value: return self.builder.op("ge", self, other)
    # fmt: on

    def eq(self, other: Operand) -> Value:
        return self.builder.op("eq", self, other)

    def ne(self, other: Operand) -> Value:
        return self.builder.op("ne", self, other)

    def __repr__(self) -> str:
        return _name(self)


Operand = Value | int | float | bool


class Buffer:
    """An argument (memory that outlives the kernel) or a local array on the kernel's stack. streamed: an output
    that is too large to stay in any cache: what is written to it may pass them by."""

    __slots__ = ("name", "dtype", "output", "length", "streamed")

    def __init__(
        self, name: str, dtype: str, output: bool = False, length: int | None = None, streamed: bool = False
    ):
        self.name, self.dtype, self.output, self.length = name, dtype, output, length
        self.streamed = streamed

    def __repr__(self) -> str:
        return self.name


class Variable:
    """A mutable scalar. Declared inside a lanes loop it is varying. Reading records a value; `set`
    assigns."""

    __slots__ = ("builder", "name", "dtype", "varying", "combine", "depth")

    def __init__(
        self, builder: Builder, name: str, dtype: str, varying: bool, combine: str | None, depth: int
    ):
        self.builder, self.name, self.dtype, self.varying = builder, name, dtype, varying
        self.combine, self.depth = combine, depth  # combine: an accumulator's operation

    @property
    def value(self) -> Value:
        """What it holds now. An accumulator is read after the lanes loop that fills it."""
        self.builder.touch(self, "read")
        return self.builder.record("get", self.dtype, (), self, self.varying, None if self.varying else 0)

    def set(self, value: Operand) -> None:
        self.builder.assign(self, value)

    def update(self, value: Operand) -> None:
        """Combine a value into an accumulator, from inside a lanes loop or not."""
        self.builder.accumulate(self, value)

    def __repr__(self) -> str:
        return self.name


class Block:
    """A list of statements: Values in order of computation, and Statements."""

    __slots__ = ("items",)

    def __init__(self) -> None:
        self.items: list[Value | Statement] = []


class Statement:
    """kind: "tiles" | "loop" | "lanes" (index, lo, hi, step) | "when" (condition) | "rarely" (condition) | "while"
    (condition block, condition) | "store" (buffer, index, value) | "declare" (variable, value) | "assign"
    (variable, value) | "accumulate" (variable, value) | "local" (buffer) | "prefetch" (buffer, index) | "turn"
    (buffer, index, step, buffer, index, step): see the Builder's methods."""

    __slots__ = ("kind", "args", "blocks")

    def __init__(self, kind: str, args: tuple, blocks: tuple[Block, ...] = ()):
        self.kind, self.args, self.blocks = kind, args, blocks


class Program:
    """A finished kernel. `sizes` are the values of the run-time sizes, in order; they are not part of its
    identity."""

    __slots__ = ("arguments", "sizes", "body")

    def __init__(self) -> None:
        self.arguments: list[Buffer] = []
        self.sizes: list[int] = []
        self.body = Block()

    @property
    def key(self) -> str:
        """Names the program by what it says."""
        return hashlib.sha256(str(self).encode()).hexdigest()[:20]

    def __str__(self) -> str:
        return "\n".join(_print(self))


def _name(v: Value) -> str:
    if v.op == "const":
        return repr(v.payload)
    if v.op == "size":
        return f"s{v.payload}"
    if v.op == "index":
        return str(v.payload)
    return f"%{v.number}"


def _print(program: Program) -> Iterator[str]:
    sizes = ", ".join(f"s{k}" for k in range(len(program.sizes)))
    arguments = ", ".join(
        f"{a.name}: {a.dtype}{' out' if a.output else ''}{' streamed' if a.streamed else ''}"
        for a in program.arguments
    )
    yield f"arguments {arguments}" + (f"; sizes {sizes}" if sizes else "")
    count = 0

    def walk(block: Block, depth: int) -> Iterator[str]:
        nonlocal count
        pad = "  " * depth
        for item in block.items:
            if isinstance(item, Value):
                item.number = count
                count += 1
                extra = "" if item.payload is None else f" {item.payload}"
                untyped = item.op == "cast" or (
                    all(a.op == "const" for a in item.args) and item.op not in ("load", "get")
                )
                typed = f":{item.dtype}" if item.op == "cast" else f":{item.args[0].dtype}" if untyped else ""
                typed += "!" if item.exact else ""
                yield f"{pad}%{item.number} = {item.op}{typed}{extra}" + "".join(
                    f" {_name(a)}" for a in item.args
                )
                continue
            kind, args = item.kind, item.args
            if kind in ("loop", "lanes"):
                extra = "" if args[3] == 1 else f" by {args[3]}"
                yield f"{pad}{kind} {_name(args[0])} in [{_name(args[1])}, {_name(args[2])}){extra}:"
            elif kind == "tiles":
                yield f"{pad}tiles {_name(args[0])}:"
            elif kind == "while":
                yield f"{pad}while:"
                yield from walk(item.blocks[0], depth + 1)
                yield f"{pad}test {_name(args[0])}:"
                yield from walk(item.blocks[1], depth + 1)
                continue
            elif kind == "local":
                yield f"{pad}local {args[0].name}: {args[0].dtype}[{args[0].length}]"
            elif kind == "declare":
                v = args[0]
                what = f"accumulator {v.combine}" if v.combine else "variable"
                yield f"{pad}{what} {v.name}: {v.dtype} = {_name(args[1])}"
            else:
                yield f"{pad}{kind} " + " ".join(_name(a) if isinstance(a, Value) else str(a) for a in args)
            for inner in item.blocks:
                yield from walk(inner, depth + 1)

    yield from walk(program.body, 0)
