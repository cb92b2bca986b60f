"""Loop programs of gather, scatter and dynamic slices: copies between windows of an array and an array of
windows.

The axes of the windows array become loops, the last one (for scatter: one that is contiguous in the operand)
lanes. Neighbouring axes that step alike are one loop. Extents that are not small are run-time sizes, so that
other sizes use the same kernel."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from fnn.core.aval import Shape
from fnn.primitives.window_map import WindowMap
from fnn.records import record

SMALL = 16  # extents up to this are written into the kernel
GATHER_BLOCK = 4096  # elements of the last axis that make up a tile
SCATTER_BLOCK = 256  # the same; every tile of a scatter reads all indices


@record(frozen=True)
class Loop:
    """One axis of the windows array: its size, and how far a step goes in the operand, the rows and the
    windows.

    kind: "row", "batching" (a row's, that advances in the operand too), "whole" (of the window, as long as
    the operand's axis, so that it starts at 0), "part" (of the window)."""

    kind: str
    size: int
    operand: int
    row: int
    window: int


def loops_of(windows: WindowMap, join: bool) -> list[Loop]:
    """The axes of the windows array, in order, merged where neighbours step alike; those of size 1 are left
    out.

    join: merge "part" axes with the "whole" ones that follow, to "part"."""
    shape = windows.shape
    strides, row_strides, steps = _strides(windows.operand), _strides(windows.rows), _strides(shape)
    batching = {axis: d for d, axis in windows.batching}
    found: dict[int, Loop] = {}
    for k, axis in enumerate(windows.row_axes):
        d = batching.get(k)
        kind, operand = ("row", 0) if d is None else ("batching", strides[d])
        found[axis] = Loop(kind, shape[axis], operand, row_strides[k], steps[axis])
    for axis, d in zip(windows.window_axes, windows.kept, strict=True):
        kind = "whole" if windows.sizes[d] == windows.operand[d] else "part"
        found[axis] = Loop(kind, shape[axis], strides[d], 0, steps[axis])
    merged: list[Loop] = []
    for axis in range(len(shape)):
        loop = found[axis]
        if loop.size == 1:
            continue
        last = merged[-1] if merged else None
        alike = last is not None and (
            last.kind == loop.kind or (join and (last.kind, loop.kind) == ("part", "whole"))
        )
        if (
            last is not None
            and alike
            and (last.operand, last.row, last.window)
            == (loop.operand * loop.size, loop.row * loop.size, loop.window * loop.size)
        ):
            merged.pop()
            loop = Loop(last.kind, last.size * loop.size, loop.operand, loop.row, loop.window)
        merged.append(loop)
    return merged


def _strides(shape: Shape) -> list[int]:
    return [math.prod(shape[d + 1 :]) for d in range(len(shape))]


def _extent(b: Any, n: int) -> Any:
    """A number for a kernel: itself if small, else a run-time size."""
    return n if n <= SMALL else b.size(n)


def _blocks(n: int, block: int) -> int:
    return -(-n // block)


# -- where a window starts -----------------------------------------------------------------------------------


@record(frozen=True)
class _Starts:
    """Writes the loads of index vectors. indices: one buffer of rows of components, or one scalar buffer
    each."""

    b: Any
    indices: Sequence[Any]
    limits: Sequence[Any]
    strides: Sequence[Any]
    check: bool

    @staticmethod
    def of(b: Any, windows: WindowMap, indices: Sequence[Any], check: bool) -> _Starts:
        strides = _strides(windows.operand)
        return _Starts(
            b,
            indices,
            [_extent(b, n) for n in windows.limits],
            [_extent(b, strides[d]) for d in windows.start_map],
            check,
        )

    def at(self, row: Any) -> tuple[Any, Any]:
        """(offset in the operand, whether the window is in range or None) of a row of indices."""
        b, components = self.b, len(self.limits)
        offset: Any = 0
        in_range = None
        for k, (limit, stride) in enumerate(zip(self.limits, self.strides)):
            if len(self.indices) > 1:
                raw = b.load(self.indices[k].buffer, 0)
            else:
                raw = b.load(self.indices[0].buffer, row * components + k)
            if raw.dtype == "u8":
                raw = b.op("min", raw, 2**63 - 1)  # what no int64 holds is out of range
            start = b.cast(raw, "i8")
            if self.check:
                inside = b.op("and", start >= 0, start <= limit)
                in_range = inside if in_range is None else b.op("and", in_range, inside)
            offset = offset + b.op("max", b.op("min", start, limit), 0) * stride
        return offset, in_range


def _position(flat: Any, sizes: Sequence[Any]) -> list[Any]:
    """The position along each of several loops, of a number that counts through all of them."""
    place: list[Any] = []
    for k in range(len(sizes) - 1, -1, -1):
        place.append(flat if k == 0 else flat % sizes[k])
        flat = flat if k == 0 else flat / sizes[k]
    return place[::-1]


def _sum(places: Sequence[Any], steps: Sequence[Any]) -> Any:
    total: Any = 0
    for place, step in zip(places, steps):
        if isinstance(step, int) and step == 0:
            continue
        total = place * step + total
    return total


# -- gather --------------------------------------------------------------------------------------------------


def gather_tiles(windows: WindowMap) -> int:
    """The number of tiles of `write_gather`."""
    loops = loops_of(windows, join=True)
    if any(loop.size == 0 for loop in loops):
        return 0
    inner = loops[-1].size if loops else 1
    return math.prod(loop.size for loop in loops[:-1]) * _blocks(inner, GATHER_BLOCK)


def write_gather(
    b: Any,
    windows: WindowMap,
    operand: Any,
    indices: Sequence[Any],
    out: Any,
    fill: int | float | bool | None = None,
) -> None:
    """out = the windows of the operand, starts clipped; with `fill`, that value where a window is not in
    range."""
    loops = loops_of(windows, join=True) or [Loop("row", 1, 0, 0, 1)]
    *outer, last = loops
    sizes = [_extent(b, loop.size) for loop in loops]
    steps = [_extent(b, loop.operand) for loop in loops]
    rows = [_extent(b, loop.row) for loop in loops]
    starts = _Starts.of(b, windows, indices, fill is not None)
    blocks = _extent(b, _blocks(last.size, GATHER_BLOCK))
    in_window = last.kind in ("whole", "part")
    in_range = None
    with b.tiles() as t:
        number, lo, hi = _block(b, t, blocks, sizes[-1], GATHER_BLOCK)
        place = _position(number, sizes[:-1])
        base, row = _sum(place, steps[:-1]), _sum(place, rows[:-1])
        first = number * sizes[-1] if outer else 0
        if in_window:
            offset, in_range = starts.at(row)
            base = base + offset
        with b.lanes(lo, hi) as i:
            if not in_window:
                offset, in_range = starts.at(row + i * rows[-1])
                base = base + offset
            value = b.load(operand.buffer, base + _sum([i], steps[-1:]))
            if in_range is not None:
                value = b.select(in_range, value, fill)
            b.store(out.buffer, first + i, value)


def _block(b: Any, t: Any, blocks: Any, size: Any, block: int) -> tuple[Any, Any, Any]:
    """(number of the row, first, end) of a tile, when rows of `size` elements are cut into `blocks`
    blocks."""
    if isinstance(blocks, int) and blocks == 1:
        return t, 0, size
    lo = t % blocks * block
    return t / blocks, lo, b.op("min", lo + block, size)


# -- scatter -------------------------------------------------------------------------------------------------


@record(frozen=True)
class _ScatterLoops:
    """Which loops of a scatter are tiles (independent), serial (in the order of rows), within a window, or
    lanes."""

    tiles: list[Loop]
    serial: list[Loop]
    within: list[Loop]
    lanes: Loop | None
    split: bool  # the lanes are independent from row to row, so blocks of them are tiles too


def _scatter_loops(windows: WindowMap, unique: bool) -> _ScatterLoops:
    unique = unique or math.prod(windows.rows) == 1
    loops = loops_of(windows, join=unique)
    lanes = next((x for x in reversed(loops) if x.kind in ("whole", "part") and x.operand == 1), None)
    rest = [x for x in loops if x is not lanes]
    free = ("batching", "whole", "row", "part") if unique else ("batching", "whole")
    bound = [x for x in rest if x.kind not in free]
    return _ScatterLoops(
        [x for x in rest if x.kind in free],
        [x for x in bound if x.kind == "row"],
        [x for x in bound if x.kind == "part"],
        lanes,
        lanes is not None and (lanes.kind == "whole" or unique),
    )


def scatter_tiles(windows: WindowMap, unique: bool) -> int:
    """The number of tiles of `write_scatter`."""
    if 0 in windows.shape:
        return 0
    loops = _scatter_loops(windows, unique)
    blocks = _blocks(loops.lanes.size, SCATTER_BLOCK) if loops.split and loops.lanes is not None else 1
    return math.prod(x.size for x in loops.tiles) * blocks


def write_scatter(
    b: Any,
    windows: WindowMap,
    indices: Sequence[Any],
    updates: Any,
    out: Any,
    combine: str,
    drop: bool,
    unique: bool,
) -> None:
    """out, which starts as the operand, is combined with the updates in the order of the rows: without atomic
    operations and always with the same result. Tiles are the parts of the operand that no two rows share."""
    plan = _scatter_loops(windows, unique)
    ordered = [*plan.tiles, *plan.serial, *plan.within]
    sizes = {x: _extent(b, x.size) for x in ordered}
    steps = {x: _extent(b, x.operand) for x in ordered}
    rows = {x: _extent(b, x.row) for x in ordered}
    moves = {x: _extent(b, x.window) for x in ordered}
    lanes = plan.lanes
    length = _extent(b, lanes.size) if lanes else 1
    stride = _extent(b, lanes.window) if lanes else 1
    blocks = _extent(b, _blocks(lanes.size, SCATTER_BLOCK)) if lanes and plan.split else 1
    starts = _Starts.of(b, windows, indices, drop)
    write = _writer(b, updates.buffer, out.buffer, combine)
    with b.tiles() as t, ExitStack() as stack:
        number, lo, hi = _block(b, t, blocks, length, SCATTER_BLOCK)
        place = _position(number, [sizes[x] for x in plan.tiles])
        base, row, source = (_sum(place, [table[x] for x in plan.tiles]) for table in (steps, rows, moves))
        for x in plan.serial:
            k = stack.enter_context(b.loop(0, sizes[x]))
            row, source = row + _sum([k], [rows[x]]), source + _sum([k], [moves[x]])
        offset, in_range = starts.at(row)
        base = base + offset
        if in_range is not None:
            stack.enter_context(b.when(in_range))
        for x in plan.within:
            k = stack.enter_context(b.loop(0, sizes[x]))
            base, source = base + _sum([k], [steps[x]]), source + _sum([k], [moves[x]])
        if lanes is None:
            write(base, source)
        else:
            i = stack.enter_context(b.lanes(lo, hi))
            write(base + i, source + i * stride)


def _writer(b: Any, updates: Any, out: Any, combine: str) -> Callable[[Any, Any], None]:
    """write(place in the operand, place in the updates)"""

    def write(at: Any, source: Any) -> None:
        value = b.load(updates, source)
        if combine != "set":
            boolean = {"min": "and", "max": "or"}
            value = b.op(boolean[combine] if out.dtype == "b1" else combine, b.load(out, at), value)
        b.store(out, at, value)

    return write
