"""Matrix products: one loop program for every size, stride and batch; its few variants are `Gemm`'s static
fields.

A tile is a block of rows times a group of column panels, of one batch element. For each block of the summed
axis it packs the rows (where their memory order asks for it), then each panel, and multiplies `rows` rows at
a time by a panel in registers. Rows past the end are the last row once more, stored in its place;
columns past the end are masked. The partition depends on sizes only, and every element is summed in one fixed
order."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from contextlib import ExitStack

from fnn.kernels.contraction import Axis, Matrix
from fnn.kernels.loops import BYTES, INDEX, Builder, Program, Value
from fnn.records import record, replace

BLOCK = 256  # elements of the summed axis that are packed at a time
LANES = 16  # a panel's columns per vector; narrower machines walk a panel in more steps
ROWS = 256  # most rows of a tile, half as many if they are packed
PANELS = 16  # most panels of a tile
# steps of the summed axis that are packed together where the right operand's columns are not contiguous
TURN = 8
FLOPS = 60.0  # multiply-adds count two; per nanosecond, on one thread


@record(frozen=True)
class Gemm:
    """left, right, out: element types (out's is also that of the sums). rows, panel: the block kept in
    registers; vectors: how many the panel is walked by at a time. pack_left: copy the rows' block too.
    left_unit: is the summed axis contiguous in left? right_unit, out_unit: are columns contiguous there?
    batch, summed: the numbers of batch axes and of summed axes but the last."""

    left: str
    right: str
    out: str
    rows: int
    panel: int
    vectors: int
    pack_left: bool
    left_unit: bool
    right_unit: bool
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


def turned(axis: Axis) -> Axis:
    return Axis(axis.size, axis.right, axis.left, axis.out)


def rows_in_registers(vectors: int, out: str, registers: int) -> int:
    """How many rows of a panel's step are summed at a time: the sums, the step of the panel and one element
    of the rows are to fit into the vector registers at once."""
    if vectors == 1 and BYTES[out] < 8:
        return 12
    return 8 if registers >= 32 else 6  # two registers a row


def plan(matrix: Matrix, left: str, right: str, out: str, registers: int = 32) -> Product:
    """How to run a product of these element types on a processor with so many vector registers."""
    batch, rows, columns, summed = matrix.batch, matrix.rows, matrix.columns, matrix.summed
    swapped = columns.out != 1 and (rows.out == 1 or columns.size < rows.size)
    if swapped:
        batch, summed = tuple(map(turned, batch)), tuple(map(turned, summed))
        rows, columns, left, right = turned(columns), turned(rows), right, left
    vectors = 1 if columns.size <= LANES or BYTES[out] == 8 else 2
    kernel = Gemm(
        left,
        right,
        out,
        rows_in_registers(vectors, out, registers),
        LANES * vectors,
        vectors,
        columns.size > LANES * vectors and (summed[-1].left != 1 or left != out),
        summed[-1].left == 1,
        columns.right == 1,
        columns.out == 1,
        len(batch),
        len(summed) - 1,
    )
    if rows.size < kernel.rows:
        kernel = replace(kernel, rows=4 if rows.size <= 4 else min(8, kernel.rows))
    panels = -(-columns.size // kernel.panel)
    count = math.prod(a.size for a in batch)
    blocks = -(-rows.size // (ROWS // 2 if kernel.pack_left else ROWS))
    height = math.ceil(math.ceil(rows.size / blocks) / kernel.rows) * kernel.rows
    blocks = -(-rows.size // height)
    group = min(panels, PANELS, max(1, count * blocks * panels // 16))
    groups = -(-panels // group)
    steps = -(-summed[-1].size // BLOCK)
    block = -(-summed[-1].size // steps)
    sizes = [
        rows.size,
        columns.size,
        panels,
        height,
        blocks,
        group,
        groups,
        block,
        rows.left,
        rows.out,
        columns.right,
        columns.out,
    ]
    for a in batch:
        sizes += [a.size, a.left, a.right, a.out]
    for a in summed:
        sizes += [a.size, a.left, a.right]
    flops = 2.0 * count * rows.size * columns.size * math.prod(a.size for a in summed)
    return Product(kernel, sizes, count * blocks * groups, flops, swapped)


def program(kernel: Gemm, sizes: Sequence[int]) -> Program:
    """Arguments left, right, out; sizes in the order of `plan`."""
    b = Builder()
    left, right, out = b.argument(kernel.left), b.argument(kernel.right), b.argument(kernel.out, output=True)
    declared = [b.size(n) for n in sizes]
    m, n, panels, height, blocks, group, groups, block, row_left, row_out, column_right, column_out = (
        declared[:12]
    )
    at = 12
    batch = [declared[at + 4 * d : at + 4 * d + 4] for d in range(kernel.batch)]
    at += 4 * kernel.batch
    *outer, (k, step_left, step_right) = [
        declared[at + 3 * d : at + 3 * d + 3] for d in range(kernel.summed + 1)
    ]
    with b.tiles() as tile:
        packed = b.local(kernel.out, BLOCK * kernel.panel)
        packed_left = b.local(kernel.out, BLOCK * (ROWS // 2 + kernel.rows)) if kernel.pack_left else None
        first_panel, rest = (tile % groups) * group, tile // groups
        first_row, rest = (rest % blocks) * height, rest // blocks
        last_panel, last_row = b.op("min", first_panel + group, panels), b.op("min", first_row + height, m)
        zero = b.const(0, INDEX)
        places = [zero, zero, zero]
        for size, *steps in reversed(batch):
            index, rest = rest % size, rest // size
            places = [p + index * s for p, s in zip(places, steps, strict=True)]
        with ExitStack() as stack:
            done: Value | None = None  # is this not the first block summed?
            for size, one, other in outer:
                q = stack.enter_context(b.loop(0, size))
                places = [places[0] + q * one, places[1] + q * other, places[2]]
                done = q > 0 if done is None else done | (q > 0)
            k0 = stack.enter_context(_stepped(b, k, block))
            start = k0 * block
            done = k0 > 0 if done is None else done | (k0 > 0)
            length = b.op("min", block, k - start)
            a0, b0 = places[0] + start * step_left, places[1] + start * step_right
            if packed_left is not None:
                with b.loop(first_row, last_row, kernel.rows) as i:
                    to = (i - first_row) * BLOCK
                    if kernel.left_unit:  # along the summed axis, which is contiguous
                        with b.loop(0, length, TURN) as k1:
                            steps = [b.op("min", k1 + u, length - 1) for u in range(TURN)]
                            with b.loop(0, kernel.rows) as r:
                                row = a0 + b.op("min", i + r, m - 1) * row_left
                                for kk in steps:
                                    x = b.load(left, row + kk)
                                    b.store(packed_left, to + kk * kernel.rows + r, b.cast(x, kernel.out))
                    else:
                        with b.loop(0, length) as kk:
                            for r in range(kernel.rows):
                                row = b.op("min", i + r, m - 1)
                                x = b.load(left, a0 + row * row_left + kk * step_left)
                                b.store(packed_left, to + kk * kernel.rows + r, b.cast(x, kernel.out))
            with b.loop(first_panel, last_panel) as panel:
                column = panel * kernel.panel
                if kernel.right_unit:
                    with b.loop(0, length) as kk, b.lanes(0, kernel.panel, kernel.vectors) as v:
                        x = b.variable(kernel.out, _zero(kernel.out))
                        j = column + v
                        with b.when(j < n):
                            x.set(b.cast(b.load(right, b0 + kk * step_right + j), kernel.out))
                        b.store(packed, kk * kernel.panel + v, x.value)
                # one element at a time: machines gather no faster, and what follows in memory is read
                # together
                else:
                    with b.loop(0, length, TURN) as k1:
                        steps = [b.op("min", k1 + u, length - 1) for u in range(TURN)]
                        sources = [kk * step_right for kk in steps]
                        with b.loop(0, kernel.panel) as v:
                            j = b0 + b.op("min", column + v, n - 1) * column_right
                            for kk, source in zip(steps, sources, strict=True):
                                b.store(
                                    packed,
                                    kk * kernel.panel + v,
                                    b.cast(b.load(right, j + source), kernel.out),
                                )
                with b.loop(first_row, last_row, kernel.rows) as i:
                    rows = [b.op("min", i + r, m - 1) for r in range(kernel.rows)]
                    starts = [a0 + row * row_left for row in rows]
                    outs = [places[2] + row * row_out for row in rows]
                    base = (i - first_row) * BLOCK
                    with b.lanes(0, kernel.panel, kernel.vectors) as v:
                        j = column + v
                        to = j if kernel.out_unit else j * column_out
                        sums = [b.variable(kernel.out, _zero(kernel.out)) for _ in rows]
                        with b.when(done), b.when(j < n):
                            for total, place in zip(sums, outs, strict=True):
                                total.set(b.load(out, place + to))
                        with b.loop(0, length) as kk:
                            y = b.load(packed, kk * kernel.panel + v)
                            for r, total in enumerate(sums):
                                if packed_left is None:
                                    x = b.cast(b.load(left, starts[r] + kk * step_left), kernel.out)
                                else:
                                    x = b.load(packed_left, base + kk * kernel.rows + r)
                                total.set(_multiply_add(x, y, total.value))
                        with b.when(j < n):
                            for total, place in zip(sums, outs, strict=True):
                                b.store(out, place + to, total.value)
    return b.program


def _stepped(b: Builder, k: Value, block: Value):
    """A loop over the blocks of the summed axis."""
    return b.loop(0, (k + (block - 1)) // block)


def _zero(code: str) -> int | float | bool:
    return False if code == "b1" else 0.0 if code[0] == "f" else 0


def _multiply_add(x: Value, y: Value, total: Value) -> Value:
    """total + x y; the two are one instruction where the processor has it."""
    return total | (x & y) if total.dtype == "b1" else total + x * y
