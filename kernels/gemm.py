"""Matrix products: one loop program for every size, stride and batch; its few variants are `Gemm`'s static
fields.

A tile is a block of rows times a group of column panels, of one batch element. For each block of the summed
axis it packs the rows (where their memory order asks for it), then each panel, and multiplies `rows` rows at
a time by a panel in registers; meanwhile the next panel and the results are on their way to the caches. Rows
past the end are the last row once more, stored in its place; columns past the end are masked. How the work is
divided changes no sum: every element is summed in one fixed order.

The loops around the registers are those of Goto and van de Geijn, "Anatomy of High-Performance Matrix
Multiplication" (2008)."""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Sequence
from contextlib import ExitStack

from fnn.kernels.contraction import Axis, Matrix
from fnn.kernels.loops import BYTES, INDEX, TURN, Buffer, Builder, Program, Value, computed
from fnn.records import record

LANES = 16  # a panel's columns per vector; narrower machines walk a panel in more steps
TALL = 1024  # most rows of a tile that are not packed
AHEAD = 6  # steps of the summed axis that are fetched before they are packed
LINE = 64  # bytes that memory moves together
SKEW = 16  # elements between packed rows, that they do not meet in the same sets of a cache
MOVED = 6  # what it costs to move a vector from memory or a far cache, in multiply-adds of one
TOGETHER = 10_000  # nanoseconds of work from which threads share it
FLOPS = 100.0  # multiply-adds count two; per nanosecond, on one thread


@record(frozen=True)
class Gemm:
    """left, right, out: element types (out's is also that of the sums). rows, panel: the block kept in
    registers; vectors: how many the panel is walked by at a time. block: most elements of the summed axis
    that are packed at a time. height: most rows of a tile. pack_left: copy the rows' block too; pack_right: copy
    the panel. left_along, right_along: which axis is contiguous there: "rows" or "columns", "summed", or neither
    (""); out_unit: are columns contiguous in the result? batch, summed: the numbers of batch axes and of summed
    axes but the last."""

    left: str
    right: str
    out: str
    rows: int
    panel: int
    vectors: int
    block: int
    height: int
    pack_left: bool
    pack_right: bool
    left_along: str
    right_along: str
    out_unit: bool
    batch: int
    summed: int

    @property
    def key(self) -> str:
        return "gemm" + hashlib.sha256(repr(self).encode()).hexdigest()[:20]


@record(frozen=True)
class Product:
    """A product to run: the kernel, its run-time sizes and tiles; flops: multiplications and additions;
    swapped: left and right change places."""

    kernel: Gemm
    sizes: list[int]
    tiles: int
    flops: float
    swapped: bool

    @property
    def cost(self) -> float:
        """Nanoseconds of one thread, roughly."""
        return self.flops / FLOPS


@record(frozen=True)
class Room:
    """What a machine has: vector registers, bytes of a processor's second cache, processors."""

    registers: int = 32
    second: int = 1 << 20
    processors: int = 2


def turned(axis: Axis) -> Axis:
    return Axis(axis.size, axis.right, axis.left, axis.out)


def rows_in_registers(vectors: int, out: str, registers: int) -> int:
    """How many rows of a panel's step are summed at a time: the sums, the step of the panel and one element
    of the rows are to fit into the vector registers at once."""
    if vectors == 1 and BYTES[out] < 8:
        return 12
    return (8 if registers >= 32 else 6) * 2 // (vectors * max(4, BYTES[out]) // 4)


def plan(matrix: Matrix, left: str, right: str, out: str, room: Room) -> Product:
    """How to run a product of these element types on a processor."""
    batch, rows, columns, summed = matrix.batch, matrix.rows, matrix.columns, matrix.summed
    swapped = columns.out != 1 and (rows.out == 1 or columns.size < rows.size)
    if swapped:
        batch, summed = tuple(map(turned, batch)), tuple(map(turned, summed))
        rows, columns, left, right = turned(columns), turned(rows), right, left
    last = summed[-1]
    vectors = 1 if columns.size <= LANES or BYTES[out] == 8 else 2
    if rows.size <= 4 and columns.size > 2 * LANES and room.registers >= 32:
        vectors *= 2  # few rows read the columns once: in long runs
    panel, most = LANES * vectors, rows_in_registers(vectors, out, room.registers)
    tall = most if rows.size >= most else 4 if rows.size <= 4 else min(8, most)
    pack_left = columns.size > panel and (last.left != 1 or left != out)
    if pack_left and rows.left == 1 and left == out:
        # side by side in memory: read in place as long as all of it stays in the second cache
        pack_left = abs(last.left) * last.size * BYTES[left] > room.second
    part = room.second // (32 if pack_left else 16)  # of the second cache, for a packed panel
    block = max(64, min(512, part // (panel * BYTES[out]) // TURN * TURN))
    height = max(
        tall, min(TALL, room.second // 2 // (block * BYTES[out]) if pack_left else TALL) // tall * tall
    )
    kernel = Gemm(
        left, right, out, tall, panel, vectors, block, height, pack_left,
        rows.size > 2 * tall or columns.right != 1 or right != out,
        "summed" if last.left == 1 else "rows" if rows.left == 1 else "",
        "columns" if columns.right == 1 else "summed" if last.right == 1 and computed(right) == out else "",
        columns.out == 1, len(batch), len(summed) - 1,
    )  # fmt: skip
    count, k = math.prod(a.size for a in batch), math.prod(a.size for a in summed)
    blocks, groups = _division(kernel, count, rows.size, columns.size, k, room)
    panels = -(-columns.size // panel)
    steps = -(-last.size // block)
    sizes = [
        rows.size,
        columns.size,
        panels,
        -(-rows.size // blocks // tall) * tall,
        blocks,
        -(-panels // groups),
        groups,
        -(-last.size // steps),
        rows.left,
        rows.out,
        columns.right,
        columns.out,
    ]
    for a in batch:
        sizes += [a.size, a.left, a.right, a.out]
    for a in summed:
        sizes += [a.size, a.left, a.right]
    flops = 2.0 * count * rows.size * columns.size * k
    return Product(kernel, sizes, count * blocks * groups, flops, swapped)


@functools.lru_cache(maxsize=4096)
def _division(kernel: Gemm, count: int, m: int, n: int, k: int, room: Room) -> tuple[int, int]:
    """Into how many blocks of rows and groups of panels to divide a product, so that it ends soonest: each
    tile packs for itself, and results that do not stay in its cache are fetched again for each block of the
    summed axis. In multiply-adds of a vector per step of that axis."""
    panels, unit, p = -(-n // kernel.panel), kernel.rows, room.processors
    if 2.0 * count * m * n * k / FLOPS < TOGETHER:
        p = 1

    def work(height: int, group: int) -> float:
        vectors = height * group * kernel.vectors
        out = vectors + MOVED * (
            group * kernel.vectors * kernel.pack_right + height // unit * kernel.pack_left
        )
        if k > kernel.block and vectors * LANES * BYTES[kernel.out] > room.second // 2:
            out += MOVED * vectors / kernel.block
        return out + 500 / k

    best = (math.inf, 1, 1)
    least = -(-m // kernel.height)
    for blocks in range(least, max(least, min(-(-m // unit), least + 4 * p)) + 1):
        height = -(-m // blocks // unit) * unit
        if -(-m // height) != blocks:
            continue
        low = -(-(m - (blocks - 1) * height) // unit) * unit  # the last block's rows
        for groups in range(1, min(panels, 4 * p) + 1):
            group = -(-panels // groups)
            if -(-panels // group) != groups:
                continue
            # the longest share: whole tiles, but for its part of those at either edge
            whole = work(height, group)
            longest = -(-count * blocks * groups // p) * whole
            longest -= count * blocks // p * (whole - work(height, panels - (groups - 1) * group))
            longest -= count * groups // p * (whole - work(low, group))
            best = min(best, (longest, blocks, groups))
    return best[1:]


def program(kernel: Gemm, sizes: Sequence[int]) -> Program:
    """Arguments left, right, out; sizes in the order of `plan`."""
    return _Writer(kernel, sizes).b.program


class _Writer:
    def __init__(self, kernel: Gemm, sizes: Sequence[int]):
        b = self.b = Builder()
        self.kernel = kernel
        self.left, self.right = b.argument(kernel.left), b.argument(kernel.right)
        self.out = b.argument(kernel.out, output=True)
        declared = [b.size(n) for n in sizes]
        (self.m, self.n, self.panels, self.height, self.blocks, self.group, self.groups, self.block,
         self.row_left, self.row_out, self.column_right, self.column_out) = declared[:12]  # fmt: skip
        at = 12
        self.batch = [declared[at + 4 * d : at + 4 * d + 4] for d in range(kernel.batch)]
        at += 4 * kernel.batch
        *self.outer, (self.k, self.step_left, self.step_right) = [
            declared[at + 3 * d : at + 3 * d + 3] for d in range(kernel.summed + 1)
        ]
        with b.tiles() as tile:
            self.tile(tile)

    def tile(self, tile: Value) -> None:
        b, kernel = self.b, self.kernel
        # packed rows lie one after the other, or `rows` of them step by step
        self.along = kernel.left_along == "summed"
        self.stride = kernel.block + SKEW if self.along else kernel.block * kernel.rows + SKEW
        room = self.stride * (kernel.height if self.along else kernel.height // kernel.rows)
        self.packed_left = b.local(kernel.out, room) if kernel.pack_left else None
        self.packed_right = b.local(kernel.out, kernel.block * kernel.panel) if kernel.pack_right else None
        first_panel, rest = (tile % self.groups) * self.group, tile // self.groups
        self.first_row, rest = (rest % self.blocks) * self.height, rest // self.blocks
        last_panel = b.op("min", first_panel + self.group, self.panels)
        self.last_row = b.op("min", self.first_row + self.height, self.m)
        zero = b.const(0, INDEX)
        places = [zero, zero, zero]
        for size, *steps in reversed(self.batch):
            index, rest = rest % size, rest // size
            places = [p + index * s for p, s in zip(places, steps, strict=True)]
        with ExitStack() as stack:
            more: Value | None = None  # is this not the first block summed?
            for size, one, other in self.outer:
                q = stack.enter_context(b.loop(0, size))
                places = [places[0] + q * one, places[1] + q * other, places[2]]
                more = q > 0 if more is None else more | (q > 0)
            k0 = stack.enter_context(b.loop(0, (self.k + (self.block - 1)) // self.block))
            start = k0 * self.block
            self.more = k0 > 0 if more is None else more | (k0 > 0)
            self.length = b.op("min", self.block, self.k - start)
            self.a0, self.b0 = places[0] + start * self.step_left, places[1] + start * self.step_right
            self.c0 = places[2]
            if self.packed_left is not None:
                self.pack_left(self.packed_left)
            with b.loop(first_panel, last_panel) as panel:
                column = panel * kernel.panel
                if self.packed_right is not None:
                    self.pack_right(self.packed_right, column)
                with b.loop(self.first_row, self.last_row, kernel.rows) as i:
                    self.multiply(i, column)

    # -- packing: to the type of the sums
    def pack_left(self, packed: Buffer) -> None:
        """Rows as they are, where the summed axis is contiguous; else step by step, `rows` rows at a time."""
        b, kernel = self.b, self.kernel
        count = self.last_row - self.first_row
        count = (count + (kernel.rows - 1)) // kernel.rows * kernel.rows
        if self.along:
            with b.loop(0, count) as r:
                row = self.a0 + b.op("min", self.first_row + r, self.m - 1) * self.row_left
                with b.lanes(0, self.length) as v:
                    self.copy(self.left, row + v, packed, r * self.stride + v)
            return
        with b.loop(0, self.length) as kk:
            source = self.a0 + kk * self.step_left
            with b.loop(0, count // kernel.rows) as i:
                first = self.first_row + i * kernel.rows
                if kernel.left_along == "rows":
                    b.prefetch(self.left, source + AHEAD * self.step_left + first)
                with b.lanes(0, kernel.rows) as v:
                    row = first + v
                    with b.when(row < self.m):
                        place = row if kernel.left_along == "rows" else row * self.row_left
                        self.copy(self.left, source + place, packed, i * self.stride + kk * kernel.rows + v)

    def pack_right(self, packed: Buffer, column: Value) -> None:
        """A panel, step by step."""
        b, kernel = self.b, self.kernel
        if kernel.right_along == "columns":
            with b.loop(0, self.length) as kk, b.lanes(0, kernel.panel, kernel.vectors) as v:
                x = self.panel_step(column + v, self.b0 + kk * self.step_right)
                b.store(packed, kk * kernel.panel + v, x)
            return
        last = b.op("min", self.n - column, kernel.panel)
        with ExitStack() as stack:
            if kernel.right_along == "summed":
                # blocks of both axes are turned in registers, those at the end over part of those before
                whole = (last >= TURN) & (self.length >= TURN)
                with b.when(whole), b.loop(0, last, TURN) as i, b.loop(0, self.length, TURN) as q:
                    v, kk = b.op("min", i, last - TURN), b.op("min", q, self.length - TURN)
                    source = self.b0 + (column + v) * self.column_right + kk
                    b.turn(packed, kk * kernel.panel + v, kernel.panel, self.right, source, self.column_right)
                stack.enter_context(b.when(~whole))
            with b.loop(0, last) as v, b.loop(0, self.length) as kk:  # machines gather no faster
                place = self.b0 + (column + v) * self.column_right + kk * self.step_right
                self.copy(self.right, place, packed, kk * kernel.panel + v)

    def copy(self, source: Buffer, at: Value, target: Buffer, to: Value) -> None:
        self.b.store(target, to, self.b.cast(self.b.load(source, at), self.kernel.out))

    def panel_step(self, j: Value, at: Value) -> Value:
        """A step of a panel from memory; columns past the end are 0."""
        b, code = self.b, self.kernel.out
        x = b.variable(code, _zero(code))
        with b.when(j < self.n):
            x.set(b.cast(b.load(self.right, at + j), code))
        return x.value

    # -- multiplying
    def multiply(self, i: Value, column: Value) -> None:
        """rows x panel sums over the block of the summed axis, in registers."""
        b, kernel = self.b, self.kernel
        rows = [b.op("min", i + r, self.m - 1) for r in range(kernel.rows)]
        starts = [self.a0 + row * self.row_left for row in rows]
        outs = [self.c0 + row * self.row_out for row in rows]
        if kernel.pack_right:
            self.prefetch(i, column, outs)
        with b.lanes(0, kernel.panel, kernel.vectors) as v:
            sums = [b.variable(kernel.out, _zero(kernel.out)) for _ in rows]
            with b.loop(0, self.length) as kk:
                if self.packed_right is not None:
                    y = b.load(self.packed_right, kk * kernel.panel + v)
                else:
                    y = self.panel_step(column + v, self.b0 + kk * self.step_right)
                for r, total in enumerate(sums):
                    total.set(_multiply_add(self.element(i, r, starts[r], kk), y, total.value))
            j = column + v
            to = j if kernel.out_unit else j * self.column_out
            places = [place + to for place in outs]
            with b.when(j < self.n):
                with b.when(self.more):
                    for total, place in zip(sums, places, strict=True):
                        total.set(_add(b.load(self.out, place), total.value))
                # a row that stands for one past the end comes before the row itself
                for total, place in reversed(list(zip(sums, places, strict=True))):
                    b.store(self.out, place, total.value)

    def element(self, i: Value, r: int, start: Value, kk: Value) -> Value:
        """Of row i + r, at a step of the summed axis."""
        b, kernel = self.b, self.kernel
        if self.packed_left is None:
            return b.cast(b.load(self.left, start + kk * self.step_left), kernel.out)
        if self.along:
            return b.load(self.packed_left, (i - self.first_row) * self.stride + kk + r * self.stride)
        base = (i - self.first_row) // kernel.rows * self.stride
        return b.load(self.packed_left, base + kk * kernel.rows + r)

    def prefetch(self, i: Value, column: Value, outs: Sequence[Value]) -> None:
        """What this block of rows will write, and its share of the next panel."""
        b, kernel = self.b, self.kernel
        each = LINE // BYTES[kernel.out]
        if kernel.out_unit:
            for place in outs:
                for c in range(0, kernel.panel, each):
                    b.prefetch(self.out, place + column + c)
        if kernel.pack_right and kernel.right_along == "columns":
            share = (self.length * kernel.rows + (self.height - 1)) // self.height
            first = (i - self.first_row) // kernel.rows * share
            next_panel = self.b0 + column + kernel.panel
            with b.loop(first, b.op("min", first + share, self.length)) as kk:
                for c in range(0, kernel.panel, LINE // BYTES[kernel.right]):
                    b.prefetch(self.right, next_panel + kk * self.step_right + c)


def _zero(code: str) -> int | float | bool:
    return False if code == "b1" else 0.0 if code[0] == "f" else 0


def _multiply_add(x: Value, y: Value, total: Value) -> Value:
    """total + x y; the two are one instruction where the processor has it."""
    return total | (x & y) if total.dtype == "b1" else total + x * y


def _add(x: Value, y: Value) -> Value:
    return x | y if x.dtype == "b1" else x + y
