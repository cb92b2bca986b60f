"""The loop program of convolutions whose columns (positions along the last spatial axis) lie side by side in the
image and in the result: channels come first, and there are few of them, or each is a group.

Lanes are columns: a vector of the image meets one element of the kernel, the same for all lanes, for every
output feature in registers. Lanes whose tap lies outside of the image read zeros. Where the image is dilated,
columns of one phase are walked together, as they meet the same taps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from fnn.primitives.convolution_geometry import Convolution, Loops, computed

LANES = 16  # columns per vector
SUMS = 16  # vectors of sums in registers
ROWS = 16  # rows of columns of a tile
TESTS = 3  # vector operations to find out which lanes read


@dataclass(frozen=True, slots=True)
class Arrangement:
    """vectors: of columns walked at a time; features: output features in registers."""

    vectors: int
    features: int

    @staticmethod
    def of(conv: Convolution) -> Arrangement:
        last = conv.spatial[-1]
        vectors = 2 if -(-last.out // last.phases) > LANES else 1
        most = SUMS // vectors
        return Arrangement(
            vectors, next(n for n in range(min(conv.width, most), 0, -1) if conv.width % n == 0)
        )

    def grid(self, conv: Convolution) -> list[int]:
        """The extents that tiles count through: parts of the features, groups, batch, outer axes, of which the
        last is cut into rows."""
        outer = [s.out for s in conv.spatial[:-1]]
        if outer:
            outer[-1] = -(-outer[-1] // ROWS)
        return [conv.width // self.features, conv.groups, conv.batch, *outer]


def effort(conv: Convolution) -> float:
    """Vector operations, roughly."""
    plan, last = Arrangement.of(conv), conv.spatial[-1]
    step = LANES * plan.vectors
    vectors = last.phases * -(-last.out // (last.phases * step)) * plan.vectors
    rows = conv.batch * conv.positions // last.out * conv.groups * conv.width
    tests = 0 if last.inside else TESTS / (plan.features * min(conv.features, 8))
    return rows * vectors * conv.met * last.met * conv.features * (1 + 1 / plan.features + tests)


def tiles(conv: Convolution) -> int:
    """The number of tiles of `write`."""
    return 0 if conv.empty else math.prod(Arrangement.of(conv).grid(conv))


def write(b: Any, conv: Convolution, lhs: Any, rhs: Any, out: Any, element: str) -> None:
    """The loop program. lhs, rhs, out: buffers; element: in what is summed."""
    if not conv.empty:
        _Writer(b, conv, lhs, rhs, out, element).write()


class _Writer(Loops):
    def write(self) -> None:
        b, conv, plan = self.b, self.conv, Arrangement.of(self.conv)
        *outer, last = conv.spatial
        self.feature_tap, self.width_tap = b.size(conv.feature_tap), b.size(conv.width_tap)
        self.feature_step = b.size(conv.feature_step)
        self.features = conv.features if conv.features <= 4 else b.size(conv.features)
        width_out, count = b.size(conv.width_out), b.size(last.out)
        with b.tiles() as t, ExitStack() as stack:
            part, group, batch, *positions = self.places(t, plan.grid(conv))
            if outer:
                first = positions[-1] * ROWS
                rows = b.op("min", first + ROWS, b.size(outer[-1].out))
                positions[-1] = stack.enter_context(b.loop(first, rows))
            feature = group * conv.width + part * plan.features
            target = feature * width_out + batch * self.batch_out
            base = group * self.group_step + batch * self.batch_step
            for d, o in enumerate(positions):
                target = target + o * self.out_step[d]
            taps = [self.met(s, *self.phase_of(s, o)) for s, o in zip(outer, positions)]
            for phase in range(last.phases):
                end = (count + (last.phases - 1 - phase)) / last.phases
                with b.lanes(0, end, plan.vectors) as m:
                    sums = [b.variable(self.element, self.zero) for _ in range(plan.features)]
                    with ExitStack() as inner:
                        at, tap = base, feature * self.width_tap
                        for d, (s, found) in enumerate(zip(outer, taps)):
                            k = inner.enter_context(self.clipped(s, found, self.image[d]))
                            at = at + (found.start + k * s.reach) * self.image_step[d]
                            tap = tap + (found.first + k * s.period) * self.tap_step[d]
                        for k, column in self.columns(m, phase, inner):
                            self.tap(at, tap + k * self.tap_step[-1], column, sums)
                    for f, total in enumerate(sums):
                        value = b.cast(total.value, computed(self.out.dtype))
                        b.store(self.out, target + f * width_out + m * last.phases + phase, value)

    def columns(self, m: Any, phase: int, stack: ExitStack) -> Iterator[tuple[Any, Any]]:
        """(tap, column of the image it meets at position m of a phase): of a loop over taps, or of each tap
        that the phase meets if the image is dilated."""
        last = self.conv.spatial[-1]
        if last.image_dilation == 1:
            k = stack.enter_context(self.b.loop(0, last.taps))
            yield k, m * last.stride + (k * last.tap_dilation - last.low)
            return
        for k in range(last.taps):
            at = phase * last.stride + k * last.tap_dilation - last.low
            if at % last.image_dilation == 0:
                yield k, m * last.advance + at // last.image_dilation

    def tap(self, at: Any, tap: Any, column: Any, sums: list[Any]) -> None:
        """Add the products of one tap."""
        b, last = self.b, self.conv.spatial[-1]
        inside = None
        if not last.inside:  # compared as numbers of 32 bits: no axis has 2**31 elements
            inside = b.cast(column, "u4") < b.cast(self.image[-1], "u4")
        with b.loop(0, self.features) as c:
            place = at + c * self.feature_step + column
            if inside is None:
                x = b.cast(b.load(self.lhs, place), self.element)
            else:
                held = b.variable(self.element, self.zero)
                with b.when(inside):
                    held.set(b.cast(b.load(self.lhs, place), self.element))
                x = held.value
            for f, total in enumerate(sums):
                y = b.cast(b.load(self.rhs, tap + c * self.feature_tap + f * self.width_tap), self.element)
                if self.element[0] == "f":
                    total.set(b.op("fma", x, y, total.value))
                else:
                    total.set(total.value + x * y)
