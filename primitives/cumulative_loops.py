"""The loop program of running combinations along an axis.

A line that is contiguous is walked in blocks, a block as several segments side by side, because a single chain of
combinations waits for each of them: first every segment by itself, then each is combined, as a vector, with the last
element before it. Columns that lie side by side are walked together, a lane each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from fnn.core.aval import Aval
from fnn.core.lowering import Kernel

LANES = 1024  # how many neighbouring columns one tile of the kernel walks together
CHAINS = 8  # segments of a block, one scalar chain each
LENGTH = 128  # elements of such a segment: a block stays in the first cache
HEAVY_CHAINS = 16  # segments where combining is so dear that it pays to gather them into lanes
HEAVY_LENGTH = 64
APART = 16  # between what the segments end with, or LLVM would make vectors, and gathers, of the chains
SHORT = 32  # elements of lines that are walked side by side, a lane each, though they do not lie so
FLOATS = ("f2", "bf", "f4", "f8")

Combine = Callable[[Any, Any, Any], Any]  # (builder, running, x) -> the new running value


def extent(shape: Sequence[int], axis: int) -> tuple[int, int, int]:
    """(outer, n, inner) of an axis in row-major order."""
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])


def _tiles(in_avals: Sequence[Aval], out_avals: Sequence[Aval], params: dict[str, Any]) -> int:
    outer, n, inner = extent(in_avals[0].shape, params["axis"])
    if short(outer, n, inner):
        return -(-outer // LANES)
    return outer * -(-inner // LANES) if n else 0


def short(outer: int, n: int, inner: int) -> bool:
    """Many contiguous lines of few elements?"""
    return inner == 1 and 1 <= n <= SHORT and outer >= 16


def lowering(combiners: dict[str, Combine], heavy: str, wide: str) -> Kernel:
    """params: combine, one of the combiners (associative); axis; reverse. heavy: the combiner that is dear; wide: the
    one that runs in float64, because every element adds its own rounding to all behind it."""

    def write(b: Any, inputs: Sequence[Any], outputs: Sequence[Any], params: dict[str, Any]) -> None:
        source, target, name = inputs[0], outputs[0], params["combine"]
        lines, count, width = extent(source.shape, params["axis"])
        n, inner, chunks = b.size(count), b.size(width), b.size(-(-width // LANES))
        wider = name == wide and source.dtype in FLOATS
        walk = Walk(b, source.buffer, target.buffer, combiners[name], n, inner, params["reverse"], wider)
        if short(lines, count, width):
            total, walk.inner = b.size(lines), b.const(1, "i8")
            with b.tiles() as t, b.lanes(t * LANES, b.op("min", t * LANES + LANES, total)) as j:
                walk.column(j * n)
            return
        with b.tiles() as t:
            if width == 1:
                walk.line(t * n, name == heavy)
                return
            row = t // chunks
            lo = (t - row * chunks) * LANES
            with b.lanes(lo, b.op("min", lo + LANES, inner)) as j:
                walk.column(row * n * inner + j)

    def cost(in_avals: Sequence[Aval], out_avals: Sequence[Aval], params: dict[str, Any]) -> float:
        outer, n, inner = extent(in_avals[0].shape, params["axis"])
        return outer * n * inner * 0.5 * (10 if params["combine"] == heavy else 1)

    return Kernel(write, _tiles, cost)


class Walk:
    """Writes the loops over one line or one column of n elements, `inner` apart."""

    def __init__(
        self,
        b: Any,
        source: Any,
        target: Any,
        combine: Combine,
        n: Any,
        inner: Any,
        reverse: bool,
        wider: bool,
    ) -> None:
        self.b, self.source, self.target, self.combine = b, source, target, combine
        self.n, self.inner, self.reverse = n, inner, reverse
        self.narrow = "f4" if target.dtype in ("f2", "bf") else target.dtype
        self.code = "f8" if wider else self.narrow

    def load(self, buffer: Any, at: Any) -> Any:
        return self.b.cast(self.b.load(buffer, at), self.code)

    def store(self, at: Any, value: Any) -> None:
        self.b.store(self.target, at, self.b.cast(value, self.narrow))

    def column(self, base: Any) -> None:
        """One element after the other, each lane its own column."""
        b, step = self.b, self.inner
        first = base + (self.n - 1) * step if self.reverse else base
        start = self.load(self.source, first)
        running = b.variable(self.code, start)
        self.store(first, start)
        with b.loop(1, self.n) as k:
            at = first - k * step if self.reverse else first + k * step
            running.set(self.combine(b, running.value, self.load(self.source, at)))
            self.store(at, running.value)

    def line(self, base: Any, heavy: bool) -> None:
        """A contiguous line: whole blocks of segments, then the rest as a chain."""
        b, n = self.b, self.n
        first = base + n - 1 if self.reverse else base

        def at(i: Any) -> Any:
            return first - i if self.reverse else first + i

        chains, longest = (HEAVY_CHAINS, HEAVY_LENGTH) if heavy else (CHAINS, LENGTH)
        length = b.op("min", n / chains, longest)
        block = length * chains
        blocks = n / b.op("max", block, 1)
        ends = b.local(self.code, chains * APART)  # the last value of each segment by itself
        before = b.variable(self.code, 0)
        with b.loop(0, blocks) as k:
            start = k * block
            (self._gathered if heavy else self._side_by_side)(at, start, length, chains, ends)
            with b.loop(0, chains) as s:
                here = start + s * length
                last = b.load(ends, s * APART)
                with b.when(here > 0), b.lanes(here, here + length) as i:
                    self.store(at(i), self.combine(b, before.value, self.load(self.target, at(i))))
                before.set(b.select(here > 0, self.combine(b, before.value, last), last))
        done = blocks * block
        with b.when(done < n):
            x = self.load(self.source, at(done))
            running = b.variable(self.code, b.select(done > 0, self.combine(b, before.value, x), x))
            self.store(at(done), running.value)
            with b.loop(done + 1, n) as i:
                running.set(self.combine(b, running.value, self.load(self.source, at(i))))
                self.store(at(i), running.value)

    def _side_by_side(
        self, at: Callable[[Any], Any], start: Any, length: Any, chains: int, ends: Any
    ) -> None:
        """The segments of a block, each by itself: as many scalar chains, which do not wait for each other."""
        b = self.b
        running = []
        for s in range(chains):
            first = at(start + length * s)
            x = self.load(self.source, first)
            self.store(first, x)
            running.append((first, b.variable(self.code, x)))
        with b.loop(1, length) as k:
            for first, state in running:
                place = first - k if self.reverse else first + k
                state.set(self.combine(b, state.value, self.load(self.source, place)))
                self.store(place, state.value)
        for s, (_, state) in enumerate(running):
            b.store(ends, s * APART, state.value)

    def _gathered(self, at: Callable[[Any], Any], start: Any, length: Any, chains: int, ends: Any) -> None:
        """The same with a lane for each segment."""
        b = self.b
        with b.lanes(0, chains) as s:
            here = start + s * length
            x = self.load(self.source, at(here))
            self.store(at(here), x)
            running = b.variable(self.code, x)
            with b.loop(1, length) as k:
                running.set(self.combine(b, running.value, self.load(self.source, at(here + k))))
                self.store(at(here + k), running.value)
            b.store(ends, s * APART, running.value)
