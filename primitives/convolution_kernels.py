"""The loop program of convolutions whose output features lie side by side in the kernel and in the result.

Lanes are output features; each of them sums products of one element of the image, the same for all lanes (or,
where groups are narrow, one per lane), and a run of the kernel. A few rows are kept in registers so that a run
is loaded once for all of them: neighbouring positions along the last spatial axis or, where there are few of
those (the gradient of a kernel is such a convolution), neighbouring batch elements.

Padding is never read: the loops over taps are clipped to the image. Nor are the zeros that dilation of the
image inserts: positions of one phase meet the same taps, every T-th one, so each phase is a plain convolution.
The partition into tiles depends on sizes only, and each element is summed in one fixed order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

LANES = 16  # output features per vector
SPAN = 64  # rows per tile
FLOPS = 60.0  # multiply-adds count two; per nanosecond, on one thread
NARROW = 8  # groups of fewer output features share vectors
MANY_TAPS = 64  # with more taps, input features are summed one after another, each over all taps


@dataclass(frozen=True, slots=True)
class Spatial:
    """One spatial axis: extents of the image, the kernel and the result, and how far apart elements are in
    memory."""

    image: int
    taps: int
    out: int
    stride: int
    low: int  # padding in front
    image_dilation: int
    tap_dilation: int
    image_step: int
    tap_step: int
    out_step: int

    @property
    def phases(self) -> int:
        """Positions that differ by a multiple of this meet the same taps."""
        return self.image_dilation // math.gcd(self.image_dilation, self.stride)

    @property
    def period(self) -> int:
        """Taps that meet an element of the image differ by a multiple of this."""
        return self.image_dilation // math.gcd(self.image_dilation, self.tap_dilation)

    @property
    def advance(self) -> int:
        """Elements of the image from one position of a phase to the next."""
        return self.phases * self.stride // self.image_dilation

    @property
    def reach(self) -> int:
        """Elements of the image from one tap of a phase to the next."""
        return self.period * self.tap_dilation // self.image_dilation

    @property
    def inside(self) -> bool:
        """Whether all taps of all positions lie in the image."""
        last = (self.out - 1) * self.stride - self.low + (self.taps - 1) * self.tap_dilation
        return self.low <= 0 and last <= (self.image - 1) * self.image_dilation


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution as extents and steps in memory.

    out[n, o, g, f] = sum over taps k and c of lhs[n, g, o at k, c] * rhs[k, c, g, f]; f, of `width`, and the
    groups outside of it are contiguous in rhs and out."""

    batch: int
    features: int  # c: input features per group
    groups: int
    width: int
    spatial: tuple[Spatial, ...]
    batch_step: int
    batch_out: int
    feature_step: int  # of c in lhs
    feature_tap: int  # of c in rhs
    group_step: int  # of g in lhs

    @staticmethod
    def of(lhs: Sequence[int], rhs: Sequence[int], out: Sequence[int], params: dict[str, Any]) -> Convolution:
        """From the shapes and the parameters of the primitive; the last axis of rhs and of out holds the
        output features."""
        numbers = params["dimension_numbers"]
        left, right, result = (_steps(s) for s in (lhs, rhs, out))
        ls, rs, os = numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec
        spatial = [
            Spatial(
                lhs[ls[d + 2]],
                rhs[rs[d + 2]],
                out[os[d + 2]],
                params["window_strides"][d],
                params["padding"][d][0],
                params["lhs_dilation"][d],
                params["rhs_dilation"][d],
                left[ls[d + 2]],
                right[rs[d + 2]],
                result[os[d + 2]],
            )
            for d in range(len(ls) - 2)
        ]
        by_feature, by_batch = params["feature_group_count"], params["batch_group_count"]
        batch, features, groups = out[os[0]], rhs[rs[1]], max(by_feature, by_batch)
        group_step = features * left[ls[1]] if by_feature > 1 else batch * left[ls[0]]
        return Convolution(
            batch,
            features,
            groups,
            out[os[1]] // max(1, groups),
            tuple(spatial) or (Spatial(1, 1, 1, 1, 0, 1, 1, 0, 0, 0),),
            left[ls[0]],
            result[os[0]],
            left[ls[1]],
            right[rs[1]],
            group_step if groups > 1 else 0,
        )

    @property
    def taps(self) -> int:
        return math.prod(s.taps for s in self.spatial)

    @property
    def products(self) -> int:
        """How many products are summed, padding included."""
        positions = math.prod(s.out for s in self.spatial)
        taps = self.taps // math.prod(s.period for s in self.spatial)
        return self.batch * positions * self.groups * self.width * self.features * taps


def _steps(shape: Sequence[int]) -> list[int]:
    return [math.prod(shape[d + 1 :]) for d in range(len(shape))]


@dataclass(frozen=True, slots=True)
class Arrangement:
    """How a convolution is cut into tiles and registers.

    by_batch: the rows in registers are batch elements, not positions. rows: how many. shared: lanes are
    features of one group, so all of them see one element of the image. vectors: of lanes walked at a time.
    spread: input features are summed one after another, with the running sums in the result."""

    by_batch: bool
    rows: int
    shared: bool
    vectors: int
    spread: bool

    @staticmethod
    def of(conv: Convolution, element: str, exact: bool) -> Arrangement:
        """element: in what is summed; exact: whether the result holds running sums without rounding them."""
        wide = 2 if element.endswith("8") else 1  # machine vectors per vector
        shared = conv.groups == 1 or conv.width >= NARROW
        lanes = conv.width if shared else conv.width * conv.groups
        vectors = 2 if wide == 1 and (lanes % (2 * LANES) == 0 or lanes > 4 * LANES) else 1
        last = conv.spatial[-1]
        positions = max(1, last.out // last.phases)
        by_batch = positions < min(8, conv.batch)
        count = conv.batch if by_batch else positions
        most = 8 if vectors == 2 or wide == 2 or not shared else 14
        spread = exact and conv.taps >= MANY_TAPS and conv.features > 1
        rows = math.ceil(count / math.ceil(count / most)) if count else 1
        if spread:
            rows = next((r for r in range(min(count, most), 3, -1) if count % r == 0), min(count, most))
        return Arrangement(by_batch, max(1, rows), shared, vectors, spread)

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
        """The extents that tiles count through: group, panel, chunk, phase, batch or last axis, outer axes."""
        last = conv.spatial[-1]
        return [
            conv.groups if self.shared else 1,
            -(-self.lanes(conv) // self.panel(conv)),
            self.chunks(conv),
            1 if self.by_batch else last.phases,
            last.out if self.by_batch else conv.batch,
            *[s.out for s in conv.spatial[:-1]],
        ]


def tiles(conv: Convolution, element: str, exact: bool) -> int:
    """The number of tiles of `write`."""
    if conv.batch * conv.groups * conv.width == 0 or any(s.out == 0 for s in conv.spatial):
        return 0
    return math.prod(Arrangement.of(conv, element, exact).grid(conv))


def cost(conv: Convolution) -> float:
    """Nanoseconds of one thread, roughly."""
    return 2.0 * conv.products / FLOPS


def write(b: Any, conv: Convolution, lhs: Any, rhs: Any, out: Any, element: str) -> None:
    """The loop program. lhs, rhs, out: buffers; element: in what is summed."""
    if tiles(conv, element, element == out.dtype):
        _Writer(b, conv, lhs, rhs, out, element).write()


@dataclass(frozen=True, slots=True)
class _Taps:
    """The taps that some positions along one axis meet: tap k = first + period * m meets the element
    start + reach * m of the image, for m below count."""

    first: Any
    count: Any
    start: Any


class _Writer:
    def __init__(self, b: Any, conv: Convolution, lhs: Any, rhs: Any, out: Any, element: str):
        self.b, self.conv, self.lhs, self.rhs, self.out, self.element = b, conv, lhs, rhs, out, element
        self.plan = Arrangement.of(conv, element, element == out.dtype)
        self.features = b.size(conv.features) if conv.features > LANES else conv.features
        self.zero = 0.0 if element[0] == "f" else 0
        *outer, last = conv.spatial
        # of the outer axes only sizes vary between kernels that are worth sharing
        self.image = [b.size(s.image) for s in conv.spatial]
        self.image_step = [*[b.size(s.image_step) for s in outer], last.image_step]
        self.tap_step = [*[b.size(s.tap_step) for s in outer], last.tap_step]
        self.batch_step, self.group_step = b.size(conv.batch_step), b.size(conv.group_step)

    def write(self) -> None:
        b, conv, plan = self.b, self.conv, self.plan
        *outer, last = conv.spatial
        grid = [n if n == 1 else b.size(n) for n in plan.grid(conv)]
        count = b.size(plan.count(conv))
        batch_out = b.size(conv.batch_out)
        outs = [*[b.size(s.out_step) for s in outer], last.out_step]
        with b.tiles() as t:
            places = []
            for k, n in enumerate(grid):
                final = k == len(grid) - 1
                places.append(0 if isinstance(n, int) else t if final else t % n)
                t = t if isinstance(n, int) or final else t / n
            group, panel, chunk, phase, other, *positions = places
            feature = panel * plan.panel(conv)
            if plan.shared:
                feature = group * conv.width + feature
            base, target = (group * self.group_step if plan.shared else 0), feature
            for d, o in enumerate(positions):
                target = target + o * outs[d]
            taps = [self.met(s, *self.phase_of(s, o)) for s, o in zip(outer, positions)]
            if plan.by_batch:
                target = target + other * outs[-1]
                taps.append(self.met(last, *self.phase_of(last, other)))
                step, out_step = self.batch_step, batch_out
            else:
                base, target = base + other * self.batch_step, target + other * batch_out
                taps.append(self.met(last, phase, 0))
                step, out_step = last.advance * last.image_step, last.phases * outs[-1]
                target = target + phase * outs[-1]
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
                v = stack.enter_context(self.lanes_of(panel))
                there = target + v
                sums = [b.variable(self.element, self.zero) for _ in rows]
                if c is not None:
                    with b.when(c > 0):
                        for total, r in zip(sums, rows):
                            total.set(b.load(self.out, there + r * out_step))
                self.sum_up(taps, base, rows, step, feature, v, c, sums)
                for total, r, inside in zip(sums, rows, stored):
                    with ExitStack() as condition:
                        if inside is not None:
                            condition.enter_context(b.when(inside))
                        value = b.cast(total.value, _computed(self.out.dtype))
                        b.store(self.out, there + r * out_step, value)

    def lanes_of(self, panel: Any) -> Any:
        """The lanes of a panel; all panels but the last are full."""
        size, lanes = self.plan.panel(self.conv), self.plan.lanes(self.conv)
        if lanes % size == 0:
            return self.b.lanes(0, size, self.plan.vectors)
        left = self.b.size(lanes) - panel * size
        return self.b.lanes(0, self.b.op("min", left, size), self.plan.vectors)

    def phase_of(self, s: Spatial, o: Any) -> tuple[Any, Any]:
        """(phase, number within it) of a position."""
        if s.phases == 1 or isinstance(o, int):
            return 0, o
        return o % s.phases, o / s.phases

    def met(self, s: Spatial, phase: Any, number: Any) -> _Taps:
        """The taps that meet the image at position `number` of a phase."""
        b = self.b
        if s.image_dilation == 1:
            return _Taps(0, s.taps, number * s.advance - s.low)
        at = phase * s.stride - s.low
        first: Any = b.as_value(s.taps, "i8")
        for k in reversed(range(s.period)):
            remainder = b.as_value(at + k * s.tap_dilation, "i8") % s.image_dilation
            first = b.select(remainder.eq(0), k, first)
        start = (at + first * s.tap_dilation) / s.image_dilation
        return _Taps(first, (s.taps + (s.period - 1) - first) / s.period, start + number * s.advance)

    def clipped(self, s: Spatial, taps: _Taps, image: Any) -> Any:
        """A loop over the taps that meet the image."""
        b = self.b
        if s.inside:
            return b.loop(0, taps.count)
        lo = b.op("max", (b.as_value(0 - taps.start, "i8") + (s.reach - 1)) / s.reach, 0)
        hi = b.op("min", b.op("max", image - taps.start + (s.reach - 1), 0) / s.reach, taps.count)
        return b.loop(lo, hi)

    def sum_up(
        self, taps: Sequence[_Taps], base: Any, rows: Sequence[Any], step: Any, feature: Any, v: Any, c: Any,
        sums: Sequence[Any],
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
            at, tap = base, run
            for d, (s, met) in enumerate(zip(outer, taps)):
                m = stack.enter_context(self.clipped(s, met, self.image[d]))
                at = at + (met.start + m * s.reach) * self.image_step[d]
                tap = tap + (met.first + m * s.period) * self.tap_step[d]
            met, final = taps[-1], self.tap_step[-1]
            places = [r * step for r in rows]
            if self.plan.by_batch:
                m = stack.enter_context(self.clipped(last, met, self.image[-1]))
                at = at + (met.start + m * last.reach) * last.image_step
                tap = tap + (met.first + m * last.period) * final
                self.features_of(at, spread, places, None, tap, c, sums)
                return
            merged = (
                c is None
                and last.inside
                and last.reach * last.image_step == conv.features * conv.feature_step
                and last.period * final == conv.features * conv.feature_tap
                and last.image_dilation == 1
            )
            if merged:  # taps and features are one run, in the image as in the kernel
                at = at + met.start * last.image_step
                self.features_of(at, spread, places, None, tap, None, sums, conv.features * last.taps)
                return
            m = stack.enter_context(b.loop(0, met.count))
            tap = tap + (met.first + m * last.period) * final
            first = met.start + m * last.reach
            moved = at + first * last.image_step
            if last.inside:
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

    def features_of(
        self, at: Any, spread: Any, places: Sequence[Any], inside: Sequence[Any] | None, tap: Any, c: Any,
        sums: Sequence[Any], count: Any = None,
    ) -> None:  # fmt: skip
        """Add the products of one tap and its input features."""
        b, conv = self.b, self.conv
        with ExitStack() as stack:
            if c is None:
                c = stack.enter_context(b.loop(0, self.features if count is None else count))
            y = b.cast(b.load(self.rhs, tap + c * conv.feature_tap), self.element)
            moved = at + c * conv.feature_step + spread
            for q, (total, place) in enumerate(zip(sums, places)):
                x = b.cast(b.load(self.lhs, moved + place), self.element)
                if inside is not None:
                    x = b.select(inside[q], x, self.zero)
                if self.element[0] == "f":
                    total.set(b.op("fma", x, y, total.value))
                else:
                    total.set(total.value + x * y)


def _computed(code: str) -> str:
    return "f4" if code in ("f2", "bf") else code
