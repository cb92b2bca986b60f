"""The loop program of convolutions whose output features lie side by side in the kernel and in the result.

Lanes are output features; each of them sums products of one element of the image, the same for all lanes (or,
where groups are narrow, one per lane), and a run of the kernel. A few rows are kept in registers so that a run
is loaded once for all of them: neighbouring positions along the last spatial axis or, where there are few of
those (the gradient of a kernel is such a convolution), neighbouring batch elements.

Along the outer axes padding is never read: the loops over taps are clipped to the image. Along the last one,
the part of the image that the rows in registers meet is copied first, with zeros where it ends (but for narrow
groups and very many features, which test every element). Nor are zeros read that dilation of the image
inserts: positions of one phase meet the same taps, every T-th one, so each phase is a plain convolution. The
partition into tiles depends on sizes only, and each element is summed in one fixed order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from fnn.primitives.convolution_geometry import Convolution, Loops, Taps, computed
from fnn.records import record

LANES = 16  # output features per vector
SPAN = 64  # rows per tile
NARROW = 8  # groups of fewer output features share vectors
MANY_TAPS = 64  # with more taps, input features are summed one after another, each over all taps
FEW_TAPS = 8  # along the last axis, so many are written out one by one
MOST = 20  # vectors of sums in registers
PATCH = 1 << 15  # most elements of the image that are copied for the rows in registers
GATHERED = 8  # what a gathered vector costs
NEAR = 1 << 19  # bytes that stay in a core's own cache


@record(frozen=True)
class Arrangement:
    """How a convolution is cut into tiles and registers.

    by_batch: the rows in registers are batch elements, not positions. rows: how many. shared: lanes are
    features of one group, so all of them see one element of the image. vectors: of lanes walked at a time.
    spread: input features are summed one after another, with the running sums in the result. packed: the part
    of the image that the rows meet is copied. batches: of how many batch elements, where the rows are positions.
    resident: a panel of the kernel serves all positions before the
    next one does."""

    by_batch: bool
    rows: int
    shared: bool
    vectors: int
    spread: bool
    packed: bool
    resident: bool
    batches: int

    @staticmethod
    def of(conv: Convolution, element: str, exact: bool) -> Arrangement:
        """element: in what is summed; exact: whether the result holds running sums without rounding them."""
        wide = 2 if element.endswith("8") else 1  # machine vectors per vector
        shared = conv.groups == 1 or conv.width >= NARROW
        lanes = conv.width if shared else conv.width * conv.groups
        vectors = 2 if wide == 1 and -(-lanes // LANES) % 2 == 0 else 1
        last = conv.spatial[-1]
        positions = max(1, last.out // last.phases)
        by_batch = positions < min(8, conv.batch)
        count = conv.batch if by_batch else positions
        most = 8 if vectors == 2 or wide == 2 or not shared else 14
        spread = exact and conv.taps >= MANY_TAPS and conv.features > 1
        rows = max(1, math.ceil(count / math.ceil(count / most))) if count else 1
        if spread:
            rows = next((r for r in range(min(count, most), 3, -1) if count % r == 0), min(count, most))
        packed = not by_batch and shared and not spread and not last.inside
        packed = packed and conv.met * last.met_columns(rows) * conv.features <= PATCH
        size = (2 if wide == 2 else 1) * 4
        kernel = conv.taps * conv.features * lanes * size
        panels = -(-lanes // (vectors * LANES))
        blocks = conv.positions * conv.batch / rows
        resident = kernel > NEAR and kernel * blocks > conv.image * size * panels
        batches = 1
        if last.inside and not by_batch and rows == count:  # all positions, of several batch elements
            batches = next(n for n in range(max(1, min(conv.batch, MOST // vectors // rows)), 0, -1)
                           if conv.batch % n == 0)  # fmt: skip
        return Arrangement(by_batch, max(1, rows), shared, vectors, spread, packed, resident, batches)

    def panel(self, conv: Convolution) -> int:
        """Output features of a tile."""
        return min(self.vectors * LANES, self.lanes(conv))

    def lanes(self, conv: Convolution) -> int:
        """Output features that may share vectors."""
        return conv.width if self.shared else conv.width * conv.groups

    def chunks(self, conv: Convolution) -> int:
        """Tiles along the axis that the rows in registers are taken from."""
        return -(-self.count(conv) // self.span)

    def count(self, conv: Convolution) -> int:
        last = conv.spatial[-1]
        return conv.batch if self.by_batch else -(-last.out // last.phases)

    @property
    def span(self) -> int:
        """Rows of a tile."""
        return self.rows * max(1, SPAN // self.rows)

    def grid(self, conv: Convolution) -> list[int]:
        """The extents that tiles count through: group, panel, chunk, phase, batch or last axis, outer axes;
        if a panel of the kernel is resident, the first two come last."""
        last = conv.spatial[-1]
        panels = [conv.groups if self.shared else 1, -(-self.lanes(conv) // self.panel(conv))]
        others = [
            self.chunks(conv),
            1 if self.by_batch else last.phases,
            last.out if self.by_batch else conv.batch // self.batches,
            *[s.out for s in conv.spatial[:-1]],
        ]
        return [*others, *panels] if self.resident else [*panels, *others]


def copies_columns(conv: Convolution) -> bool:
    """Whether the rows in registers would be copied one feature after another, as they do not lie side by
    side: dearer than to transpose the image first."""
    return conv.feature_step != 1 and not conv.empty and Arrangement.of(conv, "f4", True).packed


def effort(conv: Convolution) -> float:
    """Vector operations, roughly."""
    met = conv.met * conv.spatial[-1].met
    groups, width = (
        (1, conv.groups * conv.width)
        if conv.groups > 1 and conv.width < NARROW
        else (conv.groups, conv.width)
    )
    vectors = groups * -(-width // LANES)
    # lanes of several groups that do not lie side by side in the image
    gathered = conv.groups > 1 and conv.width < NARROW and (conv.width > 1 or conv.group_step > 1)
    return conv.batch * conv.positions * vectors * met * conv.features * (GATHERED if gathered else 1)


def tiles(conv: Convolution, element: str, exact: bool) -> int:
    """The number of tiles of `write`."""
    return 0 if conv.empty else math.prod(Arrangement.of(conv, element, exact).grid(conv))


def write(b: Any, conv: Convolution, lhs: Any, rhs: Any, out: Any, element: str) -> None:
    """The loop program. lhs, rhs, out: buffers; element: in what is summed."""
    if not conv.empty:
        _Writer(b, conv, lhs, rhs, out, element).write()


class _Writer(Loops):
    def __init__(self, b: Any, conv: Convolution, lhs: Any, rhs: Any, out: Any, element: str):
        super().__init__(b, conv, lhs, rhs, out, element)
        self.plan = Arrangement.of(conv, element, element == out.dtype)
        self.features = b.size(conv.features) if conv.features > LANES else conv.features
        self.patch: Any = None

    def write(self) -> None:
        b, conv, plan = self.b, self.conv, self.plan
        *outer, last = conv.spatial
        grid = plan.grid(conv)
        count = b.size(plan.count(conv))
        with b.tiles() as t:
            places = self.places(t, grid)
            if plan.resident:
                places = [*places[-2:], *places[:-2]]
            group, panel, chunk, phase, other, *positions = places
            if plan.packed:
                size = conv.met * last.met_columns(plan.rows) * conv.features
                self.patch = b.local(self.element, 1 << (size - 1).bit_length())
            feature = panel * plan.panel(conv)
            if plan.shared:
                feature = group * conv.width + feature
            base, target = (group * self.group_step if plan.shared else 0), feature
            for d, o in enumerate(positions):
                target = target + o * self.out_step[d]
            taps = [self.met(s, *self.phase_of(s, o)) for s, o in zip(outer, positions)]
            if plan.by_batch:
                target = target + other * self.out_step[-1]
                taps.append(self.met(last, *self.phase_of(last, other)))
                step, out_step = self.batch_step, self.batch_out
            else:
                other = other * plan.batches
                base, target = base + other * self.batch_step, target + other * self.batch_out
                taps.append(self.met(last, phase, 0))
                step, out_step = last.advance * last.image_step, last.phases * self.out_step[-1]
                target = target + phase * self.out_step[-1]
                if last.phases > 1:
                    count = (last.out - phase + (last.phases - 1)) / last.phases
            lo = chunk * plan.span
            hi = b.op("min", lo + plan.span, count)
            with ExitStack() as stack:
                c = stack.enter_context(b.loop(0, self.features)) if plan.spread else None
                row = stack.enter_context(b.loop(lo, hi, plan.rows))
                whole = plan.count(conv) % plan.rows == 0 and last.phases == 1
                least = plan.count(conv) if plan.by_batch else last.out // last.phases
                if not whole and not plan.spread and least >= plan.rows:
                    row, whole = b.op("min", row, count - plan.rows), True  # overlap the rows before
                rows = [
                    row + q if whole or q == 0 else b.op("min", row + q, count - 1) for q in range(plan.rows)
                ]
                stored = [None if whole or q == 0 else row + q < count for q in range(plan.rows)]
                if self.patch is not None:
                    self.pack(taps, base, taps[-1].start + row * last.advance)
                v = stack.enter_context(self.lanes_of(panel))
                there = target + v
                each = range(plan.batches)
                targets = [there + r * out_step + n * self.batch_out for n in each for r in rows]
                places = [r * step + n * self.batch_step for n in each for r in rows]
                sums = [b.variable(self.element, self.zero) for _ in targets]
                if c is not None:
                    with b.when(c > 0):
                        for total, to in zip(sums, targets):
                            total.set(b.load(self.out, to))
                self.sum_up(taps, base, rows, places, feature, v, c, sums)
                for total, to, inside in zip(sums, targets, stored * plan.batches):
                    with ExitStack() as condition:
                        if inside is not None:
                            condition.enter_context(b.when(inside))
                        b.store(self.out, to, b.cast(total.value, computed(self.out.dtype)))

    def lanes_of(self, panel: Any) -> Any:
        """The lanes of a panel; all panels but the last are full."""
        size, lanes = self.plan.panel(self.conv), self.plan.lanes(self.conv)
        if lanes % size == 0:
            return self.b.lanes(0, size, self.plan.vectors)
        left = self.b.size(lanes) - panel * size
        return self.b.lanes(0, self.b.op("min", left, size), self.plan.vectors)

    def pack(self, taps: Sequence[Taps], base: Any, first: Any) -> None:
        """Copy the part of the image that the rows in registers meet, whose columns begin at `first`: as runs
        of features, or of columns if features are not contiguous."""
        b, conv = self.b, self.conv
        *outer, last = conv.spatial
        columns = last.met_columns(self.plan.rows)
        lo = b.op("min", b.op("max", 0 - first, 0), columns)
        hi = b.op("max", b.op("min", self.image[-1] - first, columns), lo)
        with ExitStack() as stack:
            at, to = base + first * last.image_step, b.as_value(0, "i8")
            for d, (s, met) in enumerate(zip(outer, taps)):
                m = stack.enter_context(self.clipped(s, met, self.image[d]))
                at = at + (met.start + m * s.reach) * self.image_step[d]
                to = to * s.met + m
            to = to * (columns * self.features)
            if conv.feature_step == 1 and last.image_step == conv.features:
                self.copy_run(at, to, lo * self.features, hi * self.features, columns * self.features)
            elif conv.feature_step == 1:
                column = stack.enter_context(b.loop(0, columns))
                inside = b.op("and", column >= lo, column < hi)
                end = b.select(inside, self.features, b.as_value(0, "i8"))
                at, to = at + column * last.image_step, to + column * self.features
                self.copy_run(at, to, 0, end, self.features)
            else:
                c = stack.enter_context(b.loop(0, self.features))
                at, to = at + c * conv.feature_step, to + c * columns
                with b.lanes(0, columns) as i:
                    x = b.variable(self.element, self.zero)
                    with b.when(b.op("and", i >= lo, i < hi)):
                        x.set(b.cast(b.load(self.lhs, at + i * last.image_step), self.element))
                    b.store(self.patch, to + i, x.value)

    def copy_run(self, at: Any, to: Any, lo: Any, hi: Any, end: Any) -> None:
        """Elements [lo, hi) of a run, zeros in the rest of [0, end)."""
        b = self.b
        with b.lanes(0, lo) as i:
            b.store(self.patch, to + i, self.zero)
        with b.lanes(lo, hi) as i:
            b.store(self.patch, to + i, b.cast(b.load(self.lhs, at + i), self.element))
        with b.lanes(hi, end) as i:
            b.store(self.patch, to + i, self.zero)

    def sum_up(
        self, taps: Sequence[Taps], base: Any, rows: Sequence[Any], places: Sequence[Any], feature: Any, v: Any,
        c: Any, sums: Sequence[Any],
    ) -> None:  # fmt: skip
        """Add the products of all taps and input features (of input feature c alone, if it is given)."""
        b, conv = self.b, self.conv
        *outer, last = conv.spatial
        run = feature + v
        spread: Any = 0
        if not self.plan.shared:
            group = run if conv.width == 1 else run / conv.width
            spread = group * conv.group_step
        with ExitStack() as stack:
            at, tap, copied = base, run, b.as_value(0, "i8")
            for d, (s, met) in enumerate(zip(outer, taps)):
                m = stack.enter_context(self.clipped(s, met, self.image[d]))
                at = at + (met.start + m * s.reach) * self.image_step[d]
                tap = tap + (met.first + m * s.period) * self.tap_step[d]
                copied = copied * s.met + m
            met, final = taps[-1], self.tap_step[-1]
            if self.plan.by_batch:
                m = stack.enter_context(self.clipped(last, met, self.image[-1]))
                at = at + (met.start + m * last.reach) * last.image_step
                tap = tap + (met.first + m * last.period) * final
                self.features_of(at, spread, places, None, tap, c, sums)
                return
            image_step, feature_step = last.image_step, conv.feature_step
            first = met.start
            if self.patch is not None:
                columns = last.met_columns(self.plan.rows)
                along = feature_step == 1
                image_step, feature_step = (conv.features, 1) if along else (1, columns)
                column = self.features if along else 1
                at, first = copied * (columns * self.features), b.as_value(0, "i8")
                places = [b.as_value(q * last.advance, "i8") * column for q in range(self.plan.rows)]
            else:
                column = image_step
            within = last.inside or self.patch is not None
            merged = (
                c is None
                and within
                and last.reach * image_step == conv.features * feature_step
                and last.period * final == conv.features * conv.feature_tap
                and last.image_dilation == 1
            )
            if merged:  # taps and features are one run, in the image as in the kernel
                at = at + first * column
                self.features_of(at, spread, places, None, tap, None, sums, conv.features * last.taps)
                return
            few = last.image_dilation == 1 and last.taps <= FEW_TAPS and self.plan.batches == 1
            if few and not self.plan.shared and c is None:
                self.narrow(at, spread, first + rows[0] * last.advance, tap, sums)
                return
            m = stack.enter_context(b.loop(0, met.count))
            tap = tap + (met.first + m * last.period) * final
            first = first + m * last.reach
            moved = at + first * column
            if within:
                self.features_of(moved, spread, places, None, tap, c, sums)
                return
            columns = [first + r * last.advance for r in rows]
            low, high = columns[0], columns[-1]
            full = b.op("and", low >= 0, high < self.image[-1])
            with b.when(full):
                self.features_of(moved, spread, places, None, tap, c, sums)
            some = b.op("and", high >= 0, low < self.image[-1])
            with b.when(b.op("and", some, b.op("not", full))):
                inside = [b.op("and", x >= 0, x < self.image[-1]) for x in columns]
                safe = [b.op("max", b.op("min", x, self.image[-1] - 1), 0) * last.image_step for x in columns]
                self.features_of(at, spread, safe, inside, tap, c, sums)

    def narrow(self, at: Any, spread: Any, first: Any, tap: Any, sums: Sequence[Any]) -> None:
        """Add the products of all taps along the last axis, of groups that share vectors: each column of the
        image, from `first` on, is loaded once for all positions whose taps meet it."""
        b, conv, last = self.b, self.conv, self.conv.spatial[-1]
        met: dict[int, list[tuple[int, int]]] = {}
        for q in range(len(sums)):
            for m in range(last.taps):
                met.setdefault(q * last.advance + m * last.reach, []).append((q, m))
        with b.loop(0, self.features) as c:
            ys = [
                b.cast(b.load(self.rhs, tap + m * self.tap_step[-1] + c * conv.feature_tap), self.element)
                for m in range(last.taps)
            ]
            for offset in sorted(met):
                column = first + offset
                safe = column if last.inside else b.op("max", b.op("min", column, self.image[-1] - 1), 0)
                place = at + safe * last.image_step + c * conv.feature_step + spread
                x = b.cast(b.load(self.lhs, place), self.element)
                if not last.inside:
                    x = b.select(b.op("and", column >= 0, column < self.image[-1]), x, self.zero)
                for q, m in met[offset]:
                    if self.element[0] == "f":
                        sums[q].set(b.op("fma", x, ys[m], sums[q].value))
                    else:
                        sums[q].set(sums[q].value + x * ys[m])

    def features_of(
        self, at: Any, spread: Any, places: Sequence[Any], inside: Sequence[Any] | None, tap: Any, c: Any,
        sums: Sequence[Any], count: int | None = None,
    ) -> None:  # fmt: skip
        """Add the products of one tap and its input features."""
        b, conv = self.b, self.conv
        image, step = self.lhs, conv.feature_step
        if self.patch is not None:
            image = self.patch
            step = 1 if step == 1 else conv.spatial[-1].met_columns(self.plan.rows)
        with ExitStack() as stack:
            if c is None:
                c = stack.enter_context(b.loop(0, self.features if count is None else count))
            y = b.cast(b.load(self.rhs, tap + c * conv.feature_tap), self.element)
            moved = at + c * step + spread
            for q, (total, place) in enumerate(zip(sums, places)):
                x = b.cast(b.load(image, moved + place), self.element)
                if inside is not None:
                    x = b.select(inside[q], x, self.zero)
                if self.element[0] == "f":
                    total.set(b.op("fma", x, y, total.value))
                else:
                    total.set(total.value + x * y)
