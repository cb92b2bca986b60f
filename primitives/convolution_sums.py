"""The loop program of convolutions with few output features, whose input features lie side by side in the image
and in the kernel. (The gradient of an image of few features is such a convolution.)

Lanes are input features: every output feature of a few neighbouring positions has a vector of partial sums in
registers, which meet at the end. A run of the image serves all output features, a run of the kernel all
positions. Positions whose tap lies outside of the image leave it out."""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import Any

from fnn.primitives.convolution_geometry import Convolution, Loops, computed
from fnn.records import record

LANES = 16  # input features per vector
SUMS = 16  # partial sums in registers, roughly
MOST = 12  # output features of a tile
SPAN = 32  # positions of a tile
STATIC = 128  # so many input features are written into the kernel
MEETING = 10  # vector operations until the lanes of a partial sum are one number


@record(frozen=True)
class Arrangement:
    """rows: neighbouring positions in registers; features: output features of a tile."""

    rows: int
    features: int

    @staticmethod
    def of(conv: Convolution) -> Arrangement:
        last = conv.spatial[-1]
        features = next((n for n in range(min(conv.width, MOST), 0, -1) if conv.width % n == 0), 1)
        least = last.out // last.phases  # positions of every phase
        return Arrangement(max(1, min(least, round(SUMS / features))), features)

    def grid(self, conv: Convolution) -> list[int]:
        """The extents that tiles count through: chunk, phase, batch, outer axes, group, part of the features."""
        last = conv.spatial[-1]
        return [
            -(-last.out // last.phases // self.span) or 1,
            last.phases,
            conv.batch,
            *[s.out for s in conv.spatial[:-1]],
            conv.groups,
            conv.width // self.features,
        ]

    @property
    def span(self) -> int:
        return self.rows * max(1, SPAN // self.rows)


def effort(conv: Convolution) -> float:
    """Vector operations, roughly."""
    met = conv.met * conv.spatial[-1].met
    sums = conv.batch * conv.positions * conv.groups * conv.width
    return sums * (met * -(-conv.features // LANES) + MEETING)


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
        steps = (last.image_dilation, last.tap_dilation * last.image_step, last.tap_step)
        merged = last.inside and steps == (1, conv.features, conv.features)
        run = conv.features * (last.taps if merged else 1)
        self.features = b.size(run) if run > STATIC else run
        self.width_tap = b.size(conv.width_tap)
        width_out = b.size(conv.width_out)
        count: Any = b.size(last.out)
        with b.tiles() as t:
            chunk, phase, batch, *positions, group, part = self.places(t, plan.grid(conv))
            feature = group * conv.width + part * plan.features
            target = feature * width_out + batch * self.batch_out + phase * self.out_step[-1]
            for d, o in enumerate(positions):
                target = target + o * self.out_step[d]
            taps = [self.met(s, *self.phase_of(s, o)) for s, o in zip(outer, positions)]
            met = self.met(last, phase, 0)
            if last.phases > 1:
                count = (count - phase + (last.phases - 1)) / last.phases
            lo = chunk * plan.span
            with b.loop(lo, b.op("min", lo + plan.span, count), plan.rows) as start:
                row = b.op("min", start, count - plan.rows)  # overlap the rows before
                sums = [
                    [b.accumulator("add", self.element, self.zero) for _ in range(plan.features)]
                    for _ in range(plan.rows)
                ]
                with ExitStack() as stack:
                    at: Any = group * self.group_step + batch * self.batch_step
                    tap: Any = feature * self.width_tap
                    for d, (s, found) in enumerate(zip(outer, taps)):
                        m = stack.enter_context(self.clipped(s, found, self.image[d]))
                        at = at + (found.start + m * s.reach) * self.image_step[d]
                        tap = tap + (found.first + m * s.period) * self.tap_step[d]
                    # taps and features may be one run, in the image as in the kernel
                    m = b.as_value(0, "i8") if merged else stack.enter_context(b.loop(0, met.count))
                    tap = tap + (met.first + m * last.period) * self.tap_step[-1]
                    first = met.start + row * last.advance + m * last.reach
                    self.tap(at, tap, first, sums)
                for q, held in enumerate(sums):
                    to = target + (row + q) * (last.phases * self.out_step[-1])
                    for f, total in enumerate(held):
                        value = b.cast(total.value, computed(self.out.dtype))
                        b.store(self.out, to + f * width_out, value)

    def tap(self, at: Any, tap: Any, first: Any, sums: list[list[Any]]) -> None:
        """Add the products of one tap, which at the first position meets column `first` of the image."""
        b, last = self.b, self.conv.spatial[-1]
        columns = [first + q * last.advance for q in range(len(sums))]
        places = [at + column * last.image_step for column in columns]
        if last.inside:
            self.products(places, tap, sums)
            return
        full = b.op("and", columns[0] >= 0, columns[-1] < self.image[-1])
        with b.when(full):
            self.products(places, tap, sums)
        with b.when(b.op("not", full)):
            for column, place, held in zip(columns, places, sums):
                with b.when(b.op("and", column >= 0, column < self.image[-1])):
                    self.products([place], tap, [held])

    def products(self, places: list[Any], tap: Any, sums: list[list[Any]]) -> None:
        b = self.b
        with b.lanes(0, self.features) as c:
            xs = [b.cast(b.load(self.lhs, place + c), self.element) for place in places]
            for f in range(len(sums[0])):
                y = b.cast(b.load(self.rhs, tap + f * self.width_tap + c), self.element)
                for x, held in zip(xs, sums):
                    held[f].update(x * y)
