"""Loop programs of windows that slide over an array: reductions, and the selection of one element of each.

Lanes are the trailing axes over which no window slides (the channels, if they come last); where there are
none, the columns of the result. Elsewhere loops over a window are clipped to the array; along columns, each
lane tests whether its element is inside."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from fnn.records import record

BLOCK = 1024  # lanes of a tile
FEW = 16  # elements of a window that are kept in registers


@record(frozen=True)
class Axis:
    """One axis: extents of the array, of the window and of the result, and how the window moves."""

    size: int
    window: int = 1
    out: int = 1
    stride: int = 1
    low: int = 0
    base_dilation: int = 1
    window_dilation: int = 1

    @property
    def plain(self) -> bool:
        """No window slides along it."""
        return (self.window, self.stride, self.low, self.base_dilation, self.out) == (1, 1, 0, 1, self.size)

    @property
    def extent(self) -> int:
        """Of the dilated array."""
        return (self.size - 1) * self.base_dilation + 1

    @property
    def phases(self) -> int:
        """Windows that differ by a multiple of this meet the array at the same of their elements."""
        return self.base_dilation // math.gcd(self.base_dilation, self.stride)

    @property
    def inside(self) -> bool:
        """Whether all windows lie in the array, which is not dilated."""
        last = (self.out - 1) * self.stride - self.low + (self.window - 1) * self.window_dilation
        return self.low <= 0 and last < self.size and self.base_dilation == 1


@record(frozen=True)
class Layout:
    """The axes of a sliding window: `outer`, and the innermost, along which lanes lie. Plain neighbours are
    one axis."""

    outer: tuple[Axis, ...]
    lane: Axis

    @staticmethod
    def of(shape: Sequence[int], out: Sequence[int], p: dict[str, Any]) -> Layout:
        """From the shapes of the array and of the result, and the parameters of the primitive."""
        axes: list[Axis] = []
        for d, size in enumerate(shape):
            axis = Axis(
                size, p["window"][d], out[d], p["strides"][d], p["padding"][d][0], p["base_dilation"][d],
                p["window_dilation"][d],
            )  # fmt: skip
            if axis.plain and size == 1:
                continue
            if axis.plain and axes and axes[-1].plain:
                size *= axes.pop().size
                axis = Axis(size, out=size)
            axes.append(axis)
        return Layout(tuple(axes[:-1]), axes[-1]) if axes else Layout((), Axis(1))

    @property
    def blocks(self) -> int:
        return -(-self.lane.out // BLOCK)

    @property
    def lead(self) -> int:
        """How many outer axes come before the first over which a window slides."""
        return next((k for k, a in enumerate(self.outer) if not a.plain), len(self.outer))

    @property
    def disjoint(self) -> bool:
        """Whether no two windows share an element, and all are few elements of the array."""
        axes = [a for a in (*self.outer, self.lane) if not a.plain]
        apart = all(a.inside and (a.window - 1) * a.window_dilation < a.stride for a in axes)
        return apart and not self.empty and math.prod([a.window for a in axes]) <= FEW

    @property
    def divided(self) -> bool:
        """Whether disjoint windows hold every element."""
        axes = [a for a in (*self.outer, self.lane) if not a.plain]
        return self.disjoint and all(
            a.window == a.stride and a.low == 0 and a.out * a.stride == a.size for a in axes
        )

    @property
    def empty(self) -> bool:
        return self.lane.out == 0 or any(a.out == 0 for a in self.outer)

    @property
    def work(self) -> int:
        """Elements of all windows together."""
        return math.prod(a.out * a.window for a in (*self.outer, self.lane))


def window_tiles(layout: Layout) -> int:
    """The number of tiles of `write_reduction` and `write_gather`: of rows along the last outer axis."""
    return 0 if layout.empty else layout.blocks * math.prod(a.out for a in layout.outer[:-1])


def scatter_tiles(layout: Layout) -> int:
    """The number of tiles of `write_scatter`: of parts of the array that no two windows share."""
    if layout.lane.size == 0 or any(a.size == 0 for a in layout.outer):
        return 0
    if layout.divided:
        return window_tiles(layout)
    return (layout.blocks if layout.lane.plain else 1) * math.prod(
        a.size for a in layout.outer[: layout.lead]
    )


def identity(combine: str, dtype: np.dtype) -> int | float | bool:
    """What changes nothing: also what a window without elements reduces to. dtype: bfloat16 counts as a
    float."""
    if combine in ("add", "mul"):
        return 0 if combine == "add" else 1
    if dtype.kind == "b":
        return combine == "min"
    if dtype.kind in "iu":
        return int(np.iinfo(dtype).min if combine == "max" else np.iinfo(dtype).max)
    return -math.inf if combine == "max" else math.inf


class _Window:
    """Writes the loops over the elements of a window."""

    def __init__(self, b: Any, layout: Layout):
        self.b, self.layout = b, layout
        self.axes = (*layout.outer, layout.lane)
        self.sizes = [b.size(a.size) for a in self.axes]
        self.steps = [b.size(math.prod(a.size for a in self.axes[d + 1 :])) for d in range(len(layout.outer))]
        self.out_steps = [
            b.size(math.prod(a.out for a in self.axes[d + 1 :])) for d in range(len(layout.outer))
        ]

    def place(self, t: Any, axes: Sequence[Axis], blocks: int) -> tuple[list[Any], Any, Any]:
        """(positions along the first axes, first lane, last lane) of a tile."""
        b = self.b
        width = b.size(self.layout.lane.out)
        lo, hi = b.as_value(0, "i8"), width
        if blocks > 1:
            count = b.size(blocks)
            lo, t = t % count * BLOCK, t / count
            hi = b.op("min", lo + BLOCK, width)
        positions: list[Any] = []
        for k in range(len(axes) - 1, -1, -1):
            extent = b.size(axes[k].out)
            positions.append(t if k == 0 else t % extent)
            t = t if k == 0 else t / extent
        return positions[::-1], lo, hi

    def out(self, positions: Sequence[Any]) -> Any:
        """Where a row of the result begins."""
        total: Any = 0
        for o, step in zip(positions, self.out_steps):
            total = total + o * step
        return total

    @contextmanager
    def taps(self, positions: Sequence[Any], along: bool = True) -> Iterator[tuple[Any, Any, Any]]:
        """(where the element's row begins, number of the tap, tap along the lanes' axis), for every element
        of the window at those positions of the outer axes. along: loop along the lanes' axis too."""
        b = self.b
        with ExitStack() as stack:
            at: Any = 0
            number: Any = b.as_value(0, "i8")
            for d, (a, o) in enumerate(zip(self.layout.outer, positions)):
                if a.plain:
                    at = at + o * self.steps[d]
                    continue
                first = o * a.stride - a.low
                if a.inside:
                    lo, hi = 0, a.window
                else:
                    lo = b.op("max", (a.window_dilation - 1 - first) / a.window_dilation, 0)
                    extent = (self.sizes[d] - 1) * a.base_dilation + 1
                    left = b.op("max", extent - first + (a.window_dilation - 1), 0)
                    hi = b.op("min", left / a.window_dilation, a.window)
                k = stack.enter_context(b.loop(lo, hi))
                place = first + k * a.window_dilation
                if a.base_dilation > 1:
                    stack.enter_context(b.when((place % a.base_dilation).eq(0)))
                    place = place / a.base_dilation
                at = at + place * self.steps[d]
                number = number * a.window + k
            lane = self.layout.lane
            loops = along and lane.window > 1
            k = stack.enter_context(b.loop(0, lane.window)) if loops else b.as_value(0, "i8")
            yield at, number * lane.window + k, k

    def column(self, v: Any, k: Any) -> tuple[Any, Any]:
        """(element of the row that lane v meets at tap k, whether there is one, or None if there always is)."""
        lane, b = self.layout.lane, self.b
        if lane.plain:
            return v, None
        place = v * lane.stride + (k * lane.window_dilation - lane.low)
        if lane.inside:
            return place, None
        inside = self.within(place, (self.sizes[-1] - 1) * lane.base_dilation + 1)
        if lane.base_dilation > 1:
            inside = b.op("and", inside, (place % lane.base_dilation).eq(0))
            place = place / lane.base_dilation
        return place, inside

    def phase_columns(self, m: Any, phase: int) -> Iterator[tuple[Any, Any]]:
        """(element of the row, whether there is one) that window m of a phase meets, for each."""
        lane = self.layout.lane
        for k in range(lane.window):
            at = phase * lane.stride + k * lane.window_dilation - lane.low
            if at % lane.base_dilation == 0:
                place = m * (lane.phases * lane.stride // lane.base_dilation) + at // lane.base_dilation
                yield place, self.within(place, self.sizes[-1])

    def within(self, place: Any, extent: Any) -> Any:
        """0 <= place < extent: one comparison of 32-bit numbers, for of 64 bits there are half as many in a
        vector. (No axis has 2**31 elements.)"""
        return self.b.cast(place, "u4") < self.b.cast(extent, "u4")

    @contextmanager
    def where(self, condition: Any) -> Iterator[None]:
        if condition is None:
            yield
        else:
            with self.b.when(condition):
                yield


def _combined(b: Any, combine: str, x: Any, y: Any) -> Any:
    boolean = {"max": "or", "min": "and"}
    return b.op(boolean[combine] if x.dtype == "b1" else combine, x, y)


def write_reduction(
    b: Any, layout: Layout, x: Any, out: Any, combine: str, start: int | float | bool
) -> None:
    """out = the elements of each window, combined. x, out: buffers."""
    if layout.empty:
        return
    window = _Window(b, layout)
    rows = layout.outer
    with b.tiles() as t, ExitStack() as stack:
        positions, lo, hi = window.place(t, rows[:-1], layout.blocks)
        if rows:
            positions.append(stack.enter_context(b.loop(0, b.size(rows[-1].out))))
        phases = layout.lane.phases
        for phase in range(phases):
            first, last = [
                bound if phases == 1 else (bound + (phases - 1 - phase)) / phases for bound in (lo, hi)
            ]
            with b.lanes(first, last) as m:
                total = b.variable(_computed(x.dtype), start)
                with window.taps(positions, along=phases == 1) as (at, _, k):
                    met = [window.column(m, k)] if phases == 1 else window.phase_columns(m, phase)
                    for column, inside in met:
                        with window.where(inside):
                            total.set(_combined(b, combine, total.value, b.load(x, at + column)))
                b.store(out, window.out(positions) + m * phases + phase, total.value)


class _Selected:
    """The element of a window that is selected, found one by one: the first that wins against those before."""

    def __init__(self, b: Any, operand: Any, select: str, chosen: str):
        self.b, self.operand, self.select = b, operand, select
        code = _computed(operand.dtype)
        self.best, self.started = b.variable(code, 0), b.variable("b1", False)
        self.chosen = b.variable(chosen, 0)

    @contextmanager
    def meet(self, at: Any) -> Iterator[Any]:
        """An element; inside, what is to be kept of it if it wins is assigned to `chosen`."""
        b = self.b
        x = b.load(self.operand, at)
        stays = b.op(self.select, self.best.value, x)
        wins = b.op("or", b.op("not", self.started.value), b.op("not", stays))
        with b.when(wins):
            self.best.set(x)
            self.started.set(True)
            yield


def write_gather(b: Any, layout: Layout, source: Any, operand: Any, out: Any, select: str) -> None:
    """out = of each window, the element of `source` where that of `operand` is selected; 0 if it has none."""
    if layout.empty:
        return
    window = _Window(b, layout)
    rows = layout.outer
    with b.tiles() as t, ExitStack() as stack:
        positions, lo, hi = window.place(t, rows[:-1], layout.blocks)
        if rows:
            positions.append(stack.enter_context(b.loop(0, b.size(rows[-1].out))))
        v = stack.enter_context(b.lanes(lo, hi))
        selected = _Selected(b, operand, select, _computed(source.dtype))
        with window.taps(positions) as (at, _, k):
            column, inside = window.column(v, k)
            with window.where(inside), selected.meet(at + column):
                selected.chosen.set(b.load(source, at + column))
        b.store(out, window.out(positions) + v, selected.chosen.value)


def write_scatter(b: Any, layout: Layout, source: Any, operand: Any, out: Any, select: str) -> None:
    """out = zeros, with each window's element of `source` added where `operand` is selected."""
    if scatter_tiles(layout) == 0:
        return
    window, lane = _Window(b, layout), layout.lane
    count = max(0, len(layout.outer) - 1) if layout.divided else layout.lead
    lead, inner = layout.outer[:count], layout.outer[count:]
    blocks = layout.blocks if lane.plain or layout.divided else 1
    zero = 0.0 if _computed(out.dtype)[0] == "f" else 0
    with b.tiles() as t:
        first, lo, hi = window.place(t, lead, blocks)
        if not layout.divided:
            base: Any = 0
            for o, step in zip(first, window.steps):
                base = base + o * step
            end = hi if lane.plain else window.sizes[-1]
            with b.loop(0, b.size(math.prod(a.size for a in inner))) as row, b.lanes(lo, end) as v:
                b.store(out, base + row * window.sizes[-1] + v, zero)
        if layout.empty:
            return
        with ExitStack() as stack:
            winners = None if layout.disjoint else b.local("i4", BLOCK)
            positions = [*first, *[stack.enter_context(b.loop(0, b.size(a.out))) for a in inner]]
            if not lane.plain and layout.blocks > 1 and blocks == 1:
                lo = stack.enter_context(b.loop(0, hi, BLOCK))
                hi = b.op("min", lo + BLOCK, hi)
            if winners is None:
                _scatter_disjoint(window, positions, lo, hi, source, operand, out, select)
            else:
                _scatter_shared(window, positions, lo, hi, source, operand, out, select, winners)


def _scatter_disjoint(
    window: _Window, positions: Sequence[Any], lo: Any, hi: Any, source: Any, operand: Any, out: Any, select: str
) -> None:  # fmt: skip
    """Every element of every window in a row of them takes the source or zero: no two are the same."""
    b, lane = window.b, window.layout.lane
    with b.lanes(lo, hi) as v:
        places = [window.column(v, b.as_value(k, "i8"))[0] for k in range(lane.window)]
        for d, (a, o) in reversed(list(enumerate(zip(window.layout.outer, positions)))):
            rows = [
                (o * a.stride + (k * a.window_dilation - a.low)) * window.steps[d] for k in range(a.window)
            ]
            places = [row + place for row in rows for place in places]
        best: Any = b.load(operand, places[0])
        chosen: Any = b.as_value(0, "i4")
        for k, place in enumerate(places[1:], 1):
            x = b.load(operand, place)
            wins = b.op("not", b.op(select, best, x))
            best, chosen = b.select(wins, x, best), b.select(wins, b.as_value(k, "i4"), chosen)
        value = b.load(source, window.out(positions) + v)
        for k, place in enumerate(places):
            there = chosen.eq(k) if len(places) > 1 else b.as_value(True, "b1")
            b.store(out, place, b.select(there, value, 0.0 if value.dtype[0] == "f" else 0))


def _scatter_shared(
    window: _Window, positions: Sequence[Any], lo: Any, hi: Any, source: Any, operand: Any, out: Any, select: str,
    winners: Any,
) -> None:  # fmt: skip
    """First which element each lane selects; then every element takes what selected it: lanes of one loop
    never meet in an element."""
    b = window.b
    code = _computed(out.dtype)
    zero = 0.0 if code[0] == "f" else 0
    with b.lanes(lo, hi) as v:
        selected = _Selected(b, operand, select, "i4")
        selected.chosen.set(-1)
        with window.taps(positions) as (at, number, k):
            column, inside = window.column(v, k)
            with window.where(inside), selected.meet(at + column):
                selected.chosen.set(b.cast(number, "i4"))
        b.store(winners, v - lo, selected.chosen.value)
    given = window.out(positions)
    with window.taps(positions) as (at, number, k), b.lanes(lo, hi) as v:
        column, inside = window.column(v, k)
        won = b.load(winners, v - lo).eq(b.cast(number, "i4"))
        with window.where(inside):
            value = b.select(won, b.cast(b.load(source, given + v), code), zero)
            b.store(out, at + column, b.load(out, at + column) + value)


def _computed(code: str) -> str:
    return "f4" if code in ("f2", "bf") else code
