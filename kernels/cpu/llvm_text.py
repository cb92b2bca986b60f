"""The text of one LLVM function: types, constants, names for values, labels, loops and branches.

Every method takes the element type of a value and its number of lanes: 0 for a scalar, else a vector of so
many. LLVM splits or widens vectors that are not of the machine's length, so no element type needs a length of
its own."""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

# Types in registers and in memory. f2 and bf have no arithmetic of their own: their bits are converted to f4.
REGISTER = {
    "b1": "i1", "i1": "i8", "i2": "i16", "i4": "i32", "i8": "i64", "u1": "i8", "u2": "i16", "u4": "i32",
    "u8": "i64", "f4": "float", "f8": "double",
}  # fmt: skip
MEMORY = {**REGISTER, "b1": "i8", "f2": "i16", "bf": "i16"}
BITS = {
    "b1": 1,
    "i1": 8,
    "i2": 16,
    "i4": 32,
    "i8": 64,
    "u1": 8,
    "u2": 16,
    "u4": 32,
    "u8": 64,
    "f4": 32,
    "f8": 64,
}
MEMORY_BITS = {**BITS, "b1": 8, "f2": 16, "bf": 16}


@functools.cache
def vector_of(name: str, lanes: int) -> str:
    """An LLVM type, `lanes` times."""
    return f"<{lanes} x {name}>" if lanes else name


@functools.cache
def register(dtype: str, lanes: int) -> str:
    """The type of a value."""
    return vector_of(REGISTER[dtype], lanes)


@functools.cache
def overload(dtype: str, lanes: int) -> str:
    """How intrinsics call the type of a value: v16f32, i64."""
    return (f"v{lanes}" if lanes else "") + ("f" if dtype[0] == "f" else "i") + str(BITS[dtype])


def literal(dtype: str, value: float) -> str:
    """A constant of an element type."""
    if dtype[0] == "f":
        if dtype == "f4":
            with np.errstate(over="ignore", invalid="ignore"):
                value = float(np.float32(value))
        return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"
    if dtype == "b1":
        return "true" if value else "false"
    bits = BITS[dtype]
    wrapped = int(value) & ((1 << bits) - 1)
    return str(wrapped - (1 << bits) if wrapped >> (bits - 1) else wrapped)


def constant(dtype: str, lanes: int, value: float) -> str:
    """A constant scalar, or the vector of equal constants."""
    return f"splat ({REGISTER[dtype]} {literal(dtype, value)})" if lanes else literal(dtype, value)


@functools.cache
def counting(dtype: str, lanes: int, step: int) -> str:
    """The vector 0, step, 2 step, ..."""
    return "<" + ", ".join(f"{REGISTER[dtype]} {literal(dtype, k * step)}" for k in range(lanes)) + ">"


@functools.cache
def leading(lanes: int, count: int) -> str:
    """The mask of the first `count` lanes."""
    return "<" + ", ".join("i1 true" if k < count else "i1 false" for k in range(lanes)) + ">"


class Text:
    """Writes the body of one function."""

    def __init__(self, declared: set[str]) -> None:
        self.lines: list[str] = []
        self.entry: list[str] = []  # what precedes the body: allocas
        self.declared = declared  # the module's declarations of intrinsic functions
        self.count = 0
        self.block = "entry"

    def do(self, line: str) -> None:
        """An instruction without a result."""
        self.lines.append("  " + line)

    def let(self, instruction: str) -> str:
        """An instruction with a result, whose name is returned."""
        self.count += 1
        name = f"%v{self.count}"
        self.lines.append(f"  {name} = {instruction}")
        return name

    def call(self, name: str, result: str, arguments: str, types: str, flags: str = "") -> str:
        """A call of an intrinsic function, declared once."""
        self.declared.add(f"declare {result} @{name}({types})")
        return self.let(f"call {flags}{result} @{name}({arguments})")

    def call_void(self, name: str, arguments: str, types: str) -> None:
        """The same without a result."""
        self.declared.add(f"declare void @{name}({types})")
        self.do(f"call void @{name}({arguments})")

    def reserve(self, name: str, what: str) -> str:
        """Memory on the stack, once for the whole function; registers in the end, if it is only loaded and
        stored whole."""
        self.entry.append(f"  %{name} = alloca {what}")
        return f"%{name}"

    def label(self, name: str) -> None:
        """The start of a basic block."""
        self.lines.append(name + ":")
        self.block = name

    def fresh(self) -> int:
        """A number that no label or value has."""
        self.count += 1
        return self.count

    @contextmanager
    def loop(self, lo: str, hi: str, step: int, runs: bool = False) -> Iterator[str]:
        """for i in range(lo, hi, step) over i64; runs: it is known to run at least once."""
        number, before = self.fresh(), self.block
        order = "slt" if step > 0 else "sgt"
        if runs:
            self.do(f"br label %loop{number}")
        else:
            some = self.let(f"icmp {order} i64 {lo}, {hi}")
            self.do(f"br i1 {some}, label %loop{number}, label %done{number}")
        self.label(f"loop{number}")
        at = len(self.lines)
        self.lines.append("")
        yield f"%i{number}"
        self.lines[at] = f"  %i{number} = phi i64 [{lo}, %{before}], [%n{number}, %{self.block}]"
        self.do(f"%n{number} = add nsw i64 %i{number}, {step}")
        self.do(f"%t{number} = icmp {order} i64 %n{number}, {hi}")
        self.do(f"br i1 %t{number}, label %loop{number}, label %done{number}")
        self.label(f"done{number}")

    @contextmanager
    def when(self, condition: str, rare: bool = False) -> Iterator[None]:
        """A branch around what is written inside. rare: it is hardly ever run."""
        number = self.fresh()
        likely = RARELY if rare else ""
        self.do(f"br i1 {condition}, label %then{number}, label %end{number}{likely}")
        self.label(f"then{number}")
        yield
        self.do(f"br label %end{number}")
        self.label(f"end{number}")

    def function(self, head: str) -> str:
        """The finished function; head: all that precedes its body."""
        body = "\n".join([*self.entry, *self.lines])
        return f"{head} {{\nentry:\n{body}\n}}\n"


RARELY = ", !prof !0"
STREAMED = ", !nontemporal !1"


def module(functions: list[str], declared: set[str]) -> str:
    """The text of a module of functions."""
    notes = {RARELY: '!0 = !{!"branch_weights", i32 1, i32 2000}\n', STREAMED: "!1 = !{i32 1}\n"}
    said = [text for note, text in notes.items() if any(note in f for f in functions)]
    return "".join([*(line + "\n" for line in sorted(declared)), *functions, *said])
