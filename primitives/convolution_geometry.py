"""A convolution as a loop program sees it: extents and steps in memory, and which taps meet the image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fnn.records import record

FLOPS = 60.0  # multiply-adds count two; per nanosecond, on one thread


@record(frozen=True)
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
    def met(self) -> int:
        """The most taps that meet the image at one position."""
        return -(-self.taps // self.period)

    def met_columns(self, rows: int) -> int:
        """Elements of the image from the first that meets so many neighbouring positions of a phase to the
        last."""
        return max(1, (rows - 1) * self.advance + (self.met - 1) * self.reach + 1)

    @property
    def inside(self) -> bool:
        """Whether all taps that meet elements of the image or zeros between them lie in the image."""
        for phase in range(self.phases):
            taps = [phase * self.stride - self.low + k * self.tap_dilation for k in range(self.taps)]
            met = [at // self.image_dilation for at in taps if at % self.image_dilation == 0]
            more = (self.out - 1 - phase) // self.phases * self.advance
            if self.out > phase and met and (met[0] < 0 or met[-1] + more >= self.image):
                return False
        return True


@record(frozen=True)
class Convolution:
    """A convolution as extents and steps in memory.

    out[n, o, g, f] = sum over taps k and c of lhs[n, g, o at k, c] * rhs[k, c, g, f]; g and f, of `width`,
    are one axis of rhs and of out."""

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
    width_tap: int  # of f in rhs
    width_out: int  # of f in out

    @staticmethod
    def of(lhs: Sequence[int], rhs: Sequence[int], out: Sequence[int], params: dict[str, Any]) -> Convolution:
        """From the shapes and the parameters of the primitive."""
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
            right[rs[0]],
            result[os[1]],
        )

    @property
    def taps(self) -> int:
        return math.prod(s.taps for s in self.spatial)

    @property
    def met(self) -> int:
        """The most taps along the outer axes that meet the image at one position."""
        return math.prod([s.met for s in self.spatial[:-1]])

    @property
    def positions(self) -> int:
        return math.prod([s.out for s in self.spatial])

    @property
    def image(self) -> int:
        """Elements of the image that are read."""
        return self.batch * self.groups * self.features * math.prod([s.image for s in self.spatial])

    @property
    def empty(self) -> bool:
        return self.batch * self.groups * self.width * self.positions == 0

    @property
    def products(self) -> float:
        """How many products are summed, padding included."""
        taps = self.taps / math.prod(s.period for s in self.spatial)
        return self.batch * self.positions * self.groups * self.width * self.features * taps


def _steps(shape: Sequence[int]) -> list[int]:
    return [math.prod(shape[d + 1 :]) for d in range(len(shape))]


def cost(conv: Convolution) -> float:
    """Nanoseconds of one thread, roughly."""
    return 2.0 * conv.products / FLOPS


@record(frozen=True)
class Taps:
    """The taps that some positions along one axis meet: tap k = first + period * m meets the element
    start + reach * m of the image, for m below count."""

    first: Any
    count: Any
    start: Any


class Loops:
    """Writes what all arrangements of a convolution share. element: in what is summed."""

    def __init__(self, b: Any, conv: Convolution, lhs: Any, rhs: Any, out: Any, element: str):
        self.b, self.conv, self.lhs, self.rhs, self.out, self.element = b, conv, lhs, rhs, out, element
        self.zero = 0.0 if element[0] == "f" else 0
        *outer, last = conv.spatial
        # of the outer axes only sizes vary between kernels that are worth sharing
        self.image = [b.size(s.image) for s in conv.spatial]
        self.image_step = [*[b.size(s.image_step) for s in outer], last.image_step]
        self.tap_step = [*[b.size(s.tap_step) for s in outer], last.tap_step]
        self.out_step = [*[b.size(s.out_step) for s in outer], last.out_step]
        self.batch_step, self.group_step = b.size(conv.batch_step), b.size(conv.group_step)
        self.batch_out = b.size(conv.batch_out)

    def places(self, t: Any, grid: Sequence[int]) -> list[Any]:
        """The position along each extent of a grid, of a tile; the first advances fastest."""
        found = []
        for k, n in enumerate(grid):
            if n == 1:
                found.append(0)
                continue
            last = all(m == 1 for m in grid[k + 1 :])
            size = None if last else self.b.size(n)
            found.append(t if last else t % size)
            t = t if last else t / size
        return found

    def phase_of(self, s: Spatial, o: Any) -> tuple[Any, Any]:
        """(phase, number within it) of a position."""
        if s.phases == 1 or isinstance(o, int):
            return 0, o
        return o % s.phases, o / s.phases

    def met(self, s: Spatial, phase: Any, number: Any) -> Taps:
        """The taps that meet the image at position `number` of a phase."""
        b = self.b
        if s.image_dilation == 1:
            return Taps(0, s.taps, number * s.advance - s.low)
        at = phase * s.stride - s.low
        first: Any = b.as_value(s.taps, "i8")
        for k in reversed(range(s.period)):
            remainder = b.as_value(at + k * s.tap_dilation, "i8") % s.image_dilation
            first = b.select(remainder.eq(0), k, first)
        start = (at + first * s.tap_dilation) / s.image_dilation
        return Taps(first, (s.taps + (s.period - 1) - first) / s.period, start + number * s.advance)

    def clipped(self, s: Spatial, taps: Taps, image: Any) -> Any:
        """A loop over the taps that meet the image."""
        b = self.b
        if s.inside:
            return b.loop(0, taps.count)
        lo = b.op("max", (b.as_value(0 - taps.start, "i8") + (s.reach - 1)) / s.reach, 0)
        hi = b.op("min", b.op("max", image - taps.start + (s.reach - 1), 0) / s.reach, taps.count)
        return b.loop(lo, hi)


def computed(code: str) -> str:
    return "f4" if code in ("f2", "bf") else code
