"""Routines of BLAS and LAPACK as kernels: a primitive's description of its work on one matrix, as LLVM text.

The kernel has the signature of all kernels; tile t is matrix t of the batch. The addresses of the library's functions
are its first arguments, because they differ from process to process (`Table.symbols`); then come the inputs, the
outputs, scratch memory, and the words: how many tiles share a piece of scratch, bytes from one matrix to the next,
lengths, and every integer that a function is told. So one kernel serves all sizes.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable

from fnn.errors import UnsupportedError
from fnn.kernels.sharing import chunk, pieces
from fnn.primitives.lapack import REALS, Clear, Copy, Lines, Place, Routine, Swaps, Zero
from fnn.primitives.lapack import Call as FunctionCall
from fnn.records import record

# The order of matrices from which OpenBLAS may use threads of its own.
LARGEST = 128

_BYTES = {"f4": 4, "f8": 8, "c8": 8, "c16": 16, "i4": 4}


@record(frozen=True)
class Printed:
    """key names the kernel by its text; text(symbol) is the text. functions: whose addresses are its first
    arguments. words: its last argument. scratch: element type and length of its scratch arrays."""

    key: str
    text: Callable[[str], str]
    functions: tuple[str, ...]
    words: list[int]
    scratch: list[tuple[str, int]]
    cost: float
    flops: float
    in_place: tuple[tuple[int, int], ...]  # output, input


def printed(name: str, routine: Routine, tiles: int) -> Printed:
    """The kernel of a routine for so many matrices."""
    moved = sum(p.size * _BYTES[p.code] for p in (*routine.inputs, *routine.outputs))
    cost = (routine.flops / 5 + moved / 10 + 500) * tiles
    shared = cost if routine.order <= LARGEST else 0.0  # OpenBLAS shares large matrices itself
    writer = _Writer(routine, chunk(shared, tiles, 1) or max(tiles, 1))
    body = writer.body()
    digest = hashlib.blake2b(body.encode(), digest_size=6).hexdigest()
    copies = [s for s in routine.steps if isinstance(s, Copy)]
    return Printed(
        key=f"{name}_{digest}",
        text=lambda symbol: body.replace("{SYMBOL}", symbol),
        functions=tuple(writer.functions),
        words=writer.words,
        scratch=[(p.code, p.size * pieces(shared, tiles)) for p in routine.works],
        cost=shared,
        flops=routine.flops * tiles,
        in_place=tuple(
            [
                (s.target.number, s.source.number)
                for s in copies
                if (s.target.kind, s.source.kind) == ("out", "in") and s.target.size == s.source.size
            ]
        ),
    )


class _Writer:
    """Writes one kernel: what is the same for all tiles into `entry`, the rest into `tile`."""

    def __init__(self, routine: Routine, share: int):
        self.routine = routine
        self.functions: dict[str, str] = {}
        for step in routine.steps:
            if isinstance(step, Lines):
                self.functions = {step.function: "%function", f"{step.function} data": "%data"}
            if isinstance(step, FunctionCall):
                self.functions.setdefault(step.function, f"%function{len(self.functions)}")
        self.entry: list[str] = []
        self.tile: list[str] = []
        self.words: list[int] = []
        self.names = 0
        self.share = share
        self.places: dict[tuple[str, int], str] = {}

    def name(self, stem: str) -> str:
        self.names += 1
        return f"%{stem}{self.names}"

    def word(self, value: int) -> str:
        """A run-time number, i64."""
        at, out = self.name("word.at"), self.name("word")
        self.entry += [
            f"{at} = getelementptr i64, ptr %words, i64 {len(self.words)}",
            f"{out} = load i64, ptr {at}",
        ]
        self.words.append(value)
        return out

    def body(self) -> str:
        r = self.routine
        places = [*r.inputs, *r.outputs, *r.works]
        for k, name in enumerate(self.functions.values()):
            self.pointer(name, k)
        for k, place in enumerate(places):
            self.pointer(f"%{place.kind}{place.number}.all", len(self.functions) + k)
        self.pointer("%words", len(self.functions) + len(places))
        self.entry += ["%info = alloca i32", "%piece = udiv i64 %lo, " + self.word(self.share)]
        for place in places:
            name = self.places[place.kind, place.number] = f"%{place.kind}{place.number}"
            step, offset = self.word(place.size * _BYTES[place.code]), self.name("offset")
            into, index = (self.entry, "%piece") if place.kind == "work" else (self.tile, "%t")
            into += [
                f"{offset} = mul i64 {index}, {step}",
                f"{name} = getelementptr i8, ptr {name}.all, i64 {offset}",
            ]
        if len(r.steps) == 1 and isinstance(r.steps[0], Lines):
            return self.lines(r.steps[0])
        for step in r.steps:
            if isinstance(step, Copy):
                self.copy(step)
            elif isinstance(step, Clear):
                self.clear(step)
            elif isinstance(step, Zero):
                nbytes = self.word(step.target.size * _BYTES[step.target.code])
                target = self.at(step.target)
                self.tile.append(f"call void @llvm.memset.p0.i64(ptr {target}, i8 0, i64 {nbytes}, i1 false)")
            elif isinstance(step, Swaps):
                self.swaps(step)
            elif isinstance(step, FunctionCall):
                self.call(step)
        lines = [
            "define void @{SYMBOL}(ptr %arguments, i64 %lo, i64 %hi) {",
            "entry:",
            *[f"  {line}" for line in self.entry],
            "  br label %tiles",
            "tiles:",
            "  %t = phi i64 [%lo, %entry], [%t1, %next]",
            "  %more = icmp slt i64 %t, %hi",
            "  br i1 %more, label %tile, label %done",
            "done:",
            "  ret void",
            "tile:",
            *[line if line.endswith(":") else f"  {line}" for line in self.tile],
            "  br label %next",
            "next:",
            "  %t1 = add i64 %t, 1",
            "  br label %tiles",
            "}",
            "declare void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1)",
            "declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)",
            "",
        ]
        return "\n".join(lines)

    def lines(self, step: Lines) -> str:
        """A call for all tiles: pointers, lengths and strides as NumPy's inner loops take them."""
        places = (step.source, step.target)
        sizes = [self.word(p.size) for p in places]
        steps = [self.word(p.size * _BYTES[p.code]) for p in places]
        kind = "float" if REALS[step.source.code] == "f4" else "double"
        self.entry += [
            "%count = sub i64 %hi, %lo",
            f"%from.offset = mul i64 %lo, {steps[0]}",
            f"%into.offset = mul i64 %lo, {steps[1]}",
            f"%from = getelementptr i8, ptr %in{step.source.number}.all, i64 %from.offset",
            f"%into = getelementptr i8, ptr %out{step.target.number}.all, i64 %into.offset",
            f"%factor.bits = bitcast i64 {self.word(struct.unpack('<q', struct.pack('<d', step.factor))[0])} to double",
            "%factor = alloca double",
            "%factor.value = fptrunc double %factor.bits to float" if kind == "float" else "",
            f"store {kind} {'%factor.value' if kind == 'float' else '%factor.bits'}, ptr %factor",
            "%pointers = alloca [3 x ptr]",
            "%dimensions = alloca [3 x i64]",
            "%strides = alloca [5 x i64]",
        ]
        inner = [str(_BYTES[p.code]) for p in places]
        for array, kind, values in (
            ("%pointers", "ptr", ["%from", "%factor", "%into"]),
            ("%dimensions", "i64", ["%count", *sizes]),
            ("%strides", "i64", [steps[0], "0", steps[1], *inner]),
        ):
            for k, value in enumerate(values):
                at = self.name("at")
                self.entry += [
                    f"{at} = getelementptr {kind}, ptr {array}, i64 {k}",
                    f"store {kind} {value}, ptr {at}",
                ]
        return "\n".join(
            [
                "define void @{SYMBOL}(ptr %arguments, i64 %lo, i64 %hi) {",
                "entry:",
                *[f"  {line}" for line in self.entry if line],
                "  call void %function(ptr %pointers, ptr %dimensions, ptr %strides, ptr %data)",
                "  ret void",
                "}",
                "",
            ]
        )

    def pointer(self, name: str, argument: int) -> None:
        at = self.name("argument")
        self.entry += [
            f"{at} = getelementptr ptr, ptr %arguments, i64 {argument}",
            f"{name} = load ptr, ptr {at}",
        ]

    def at(self, place: Place) -> str:
        return self.places[place.kind, place.number]

    def copy(self, step: Copy) -> None:
        nbytes = self.word(step.source.size * _BYTES[step.source.code])
        target, source = self.at(step.target), self.at(step.source)
        self.tile.append(
            f"call void @llvm.memmove.p0.p0.i64(ptr {target}, ptr {source}, i64 {nbytes}, i1 false)"
        )

    def loop(self, count: str, write: Callable[[str], None]) -> None:
        """write(index) for 0 ... count."""
        label = self.name("loop")[1:]
        i, following, more = f"%{label}.i", f"%{label}.i1", f"%{label}.more"
        self.tile += [
            f"br label %{label}.before",
            f"{label}.before:",
            f"br label %{label}",
            f"{label}:",
            f"{i} = phi i64 [0, %{label}.before], [{following}, %{label}.next]",
            f"{more} = icmp slt i64 {i}, {count}",
            f"br i1 {more}, label %{label}.body, label %{label}.end",
            f"{label}.body:",
        ]
        write(i)
        self.tile += [
            f"br label %{label}.next",
            f"{label}.next:",
            f"{following} = add i64 {i}, 1",
            f"br label %{label}",
            f"{label}.end:",
        ]

    def clear(self, step: Clear) -> None:
        size, order, target = _BYTES[step.target.code], self.word(step.order), self.at(step.target)

        def row(i: str) -> None:
            first, begin, at, rest, nbytes, where = (
                self.name(n) for n in ("first", "begin", "at", "rest", "bytes", "where")
            )
            self.tile += [
                f"{first} = add i64 {i}, 1",
                f"{begin} = mul i64 {i}, {order}",
                f"{at} = add i64 {begin}, {first}",
                f"{rest} = sub i64 {order}, {first}",
                f"{nbytes} = mul i64 {rest}, {size}",
                f"{where} = getelementptr [{size} x i8], ptr {target}, i64 {at}",
                f"call void @llvm.memset.p0.i64(ptr {where}, i8 0, i64 {nbytes}, i1 false)",
            ]

        self.loop(order, row)

    def swaps(self, step: Swaps) -> None:
        kind = f"[{_BYTES[step.target.code]} x i8]"
        word = f"i{8 * _BYTES[step.target.code]}"
        rows, columns = self.word(step.rows), self.word(step.columns)
        target, pivots = self.at(step.target), self.at(step.pivots)

        def row(k: str) -> None:
            i, at, pivot, wide, j = (self.name(n) for n in ("i", "at", "pivot", "wide", "j"))
            if step.reverse:
                self.tile += [f"{i}.end = sub i64 {rows}, {k}", f"{i} = sub i64 {i}.end, 1"]
            else:
                self.tile.append(f"{i} = add i64 {k}, 0")
            self.tile += [
                f"{at} = getelementptr i32, ptr {pivots}, i64 {i}",
                f"{pivot} = load i32, ptr {at}",
                f"{wide} = sext i32 {pivot} to i64",
                f"{j} = sub i64 {wide}, 1",
            ]

            def column(c: str) -> None:
                first = self.name("first")
                self.tile.append(f"{first} = mul i64 {c}, {rows}")
                ends = []
                for place in (i, j):
                    index, pointer, value = (self.name(n) for n in ("index", "pointer", "value"))
                    self.tile += [
                        f"{index} = add i64 {first}, {place}",
                        f"{pointer} = getelementptr {kind}, ptr {target}, i64 {index}",
                        f"{value} = load {word}, ptr {pointer}, align 4",
                    ]
                    ends.append((pointer, value))
                (one, x), (other, y) = ends
                self.tile += [
                    f"store {word} {y}, ptr {one}, align 4",
                    f"store {word} {x}, ptr {other}, align 4",
                ]

            self.loop(columns, column)

        self.loop(rows, row)

    def call(self, step: FunctionCall) -> None:
        arguments = []
        for a in step.arguments:
            if isinstance(a, Place):
                arguments.append(self.at(a))
            elif a is None:
                arguments.append("%info")
                self.tile.append("store i32 0, ptr %info")
            elif isinstance(a, str):
                arguments.append(self.cell("i8", str(ord(a))))
            elif isinstance(a, int):
                number = self.name("number")
                word = self.word(a)
                self.entry.append(f"{number} = trunc i64 {word} to i32")
                arguments.append(self.cell("i32", number))
            elif isinstance(a, float):
                arguments.append(self.real(a))
            else:
                raise UnsupportedError(f"a routine passes {a!r} to {step.function}")
        passed = ", ".join(f"ptr {a}" for a in arguments)
        self.tile.append(f"call void {self.functions[step.function]}({passed})")
        if step.spoils:
            self.spoil(step)

    def cell(self, kind: str, value: str) -> str:
        cell = self.name("cell")
        self.entry += [f"{cell} = alloca {kind}", f"store {kind} {value}, ptr {cell}"]
        return cell

    def real(self, value: float) -> str:
        """A number of the matrices' type in memory."""
        kind = "float" if self.routine.real == "f4" else "double"
        parts = [value, 0.0] if self.routine.complex else [value]
        cell = self.name("cell")
        self.entry.append(f"{cell} = alloca [{len(parts)} x {kind}]")
        for k, part in enumerate(parts):
            at = self.name("part")
            self.entry += [
                f"{at} = getelementptr {kind}, ptr {cell}, i64 {k}",
                f"store {kind} {part!r}, ptr {at}",
            ]
        return cell

    def spoil(self, step: FunctionCall) -> None:
        label = self.name("failed")[1:]
        self.tile += [
            f"%{label}.info = load i32, ptr %info",
            f"%{label}.is = icmp ne i32 %{label}.info, 0",
            f"br i1 %{label}.is, label %{label}.yes, label %{label}.end",
            f"{label}.yes:",
        ]
        for place in step.spoils:
            real = REALS[place.code]
            kind = "float" if real == "f4" else "double"
            count = self.word(place.size * (1 if place.code in ("f4", "f8") else 2))

            def store(i: str, place: Place = place, kind: str = kind) -> None:
                at = self.name("at")
                self.tile += [
                    f"{at} = getelementptr {kind}, ptr {self.at(place)}, i64 {i}",
                    f"store {kind} 0x7FF8000000000000, ptr {at}",
                ]

            self.loop(count, store)
        self.tile += [f"br label %{label}.end", f"{label}.end:"]
