"""Loop programs of sort and top_k: merge sort and radix sort, both stable, and selection by insertion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fnn.records import record

RUN = 16  # runs of this many elements are sorted by insertion, then merged

Order = Callable[
    [Sequence[Any], Sequence[Any]], Any
]  # (one, other) -> must the first stand before the second?


@record(frozen=True)
class Line:
    """One line of elements in several parallel buffers: element i is at base + i * step."""

    b: Any
    buffers: tuple[Any, ...]
    base: Any
    step: Any = 1

    def load(self, i: Any) -> list[Any]:
        return [self.b.load(buffer, self.base + i * self.step) for buffer in self.buffers]

    def store(self, i: Any, values: Sequence[Any]) -> None:
        for buffer, value in zip(self.buffers, values, strict=True):
            self.b.store(buffer, self.base + i * self.step, value)


# -- orders --------------------------------------------------------------------------------------------------


def _number(b: Any, x: Any) -> Any:
    return b.cast(x, "i4") if x.dtype == "b1" else x


def _isnan(x: Any) -> Any:
    return x.ne(x)


def _before(b: Any, x: Any, y: Any) -> Any:
    """x < y, NaN being greater than everything else."""
    less = x < y
    if x.dtype[0] != "f":
        return less
    return b.op("or", less, b.op("and", _isnan(y), x.eq(x)))


def _equal(b: Any, x: Any, y: Any) -> Any:
    same = x.eq(y)
    return b.op("or", same, b.op("and", _isnan(x), _isnan(y))) if x.dtype[0] == "f" else same


def lexicographic(b: Any, keys: int) -> Order:
    """Ascending by the first `keys` values; 0 and -0 are equal, so are NaNs, which come last."""

    def before(one: Sequence[Any], other: Sequence[Any]) -> Any:
        pairs = [(_number(b, x), _number(b, y)) for x, y in zip(one[:keys], other[:keys])]
        result = _before(b, *pairs[-1])
        for x, y in reversed(pairs[:-1]):
            result = b.op("or", _before(b, x, y), b.op("and", _equal(b, x, y), result))
        return result

    return before


def descending(b: Any) -> Order:
    """By the first value, greatest first; NaN before everything else and 0 before -0."""

    def before(one: Sequence[Any], other: Sequence[Any]) -> Any:
        x, y = _number(b, one[0]), _number(b, other[0])
        greater = _before(b, y, x)
        if x.dtype[0] != "f":
            return greater
        bits = "i8" if x.dtype == "f8" else "i4"
        zeros = b.op("and", x.eq(y), b.bitcast(x, bits) > b.bitcast(y, bits))
        return b.op("or", greater, zeros)

    return before


# -- merge sort ----------------------------------------------------------------------------------------------


def merge_sort(
    b: Any, source: Callable[[Any], Sequence[Any]], home: Line, other: Line, n: Any, before: Order
) -> None:
    """Sort the n elements source(i), stably, into `home`, with `other` as scratch."""
    runs = (n + (RUN - 1)) / RUN
    with b.loop(0, runs) as r:
        first = r * RUN
        _insertion_sort(b, source, home, first, b.op("min", first + RUN, n), before)
    width = b.variable("i8", RUN)
    with b.repeat_while() as going:
        going.test(width.value < n)
        w = width.value
        _merge_runs(b, home, other, n, w, before)
        _merge_runs(b, other, home, n, w * 2, before)
        width.set(w * 4)


def _insertion_sort(
    b: Any, source: Callable[[Any], Sequence[Any]], home: Line, lo: Any, hi: Any, before: Order
) -> None:
    with b.loop(lo, hi) as i:
        values = source(i)
        hole = b.variable("i8", i)
        with b.repeat_while() as going:
            at = hole.value
            previous = home.load(b.op("max", at - 1, lo))
            going.test(b.op("and", at > lo, before(values, previous)))
            home.store(at, previous)
            hole.set(at - 1)
        home.store(hole.value, values)


def _merge_runs(b: Any, source: Line, target: Line, n: Any, width: Any, before: Order) -> None:
    """Merge neighbouring sorted runs of `width` elements, pair by pair."""
    pair = width * 2
    with b.loop(0, (n + pair - 1) / pair) as p:
        lo = p * pair
        mid, hi = b.op("min", lo + width, n), b.op("min", lo + pair, n)
        left, right = b.variable("i8", lo), b.variable("i8", mid)
        with b.repeat_while() as going:
            going.test(b.op("and", left.value < mid, right.value < hi))
            i, j = left.value, right.value
            one, two = source.load(i), source.load(j)
            second = before(two, one)
            target.store(i + j - mid, [b.select(second, y, x) for x, y in zip(one, two)])
            step = b.cast(second, "i8")
            right.set(j + step)
            left.set(i + (1 - step))
        i, j = left.value, right.value  # of one run a rest is left
        with b.lanes(i, mid) as k:
            target.store(k + (j - mid), source.load(k))
        with b.lanes(j, hi) as k:
            target.store(k + (i - mid), source.load(k))


def copy(b: Any, source: Line, target: Line, n: Any) -> None:
    """target[:n] = source[:n]"""
    with b.lanes(0, n) as i:
        target.store(i, source.load(i))


# -- radix sort ----------------------------------------------------------------------------------------------


def radix_passes(codes: Sequence[str]) -> int:
    """How many passes `radix_sort` makes over keys of these element types: one for each byte compared."""
    return sum(4 if code in ("bf", "f2") else int(code[1]) for code in codes)


def _digits(b: Any, x: Any) -> list[Any]:
    """The bytes of a key as it is ordered, the least significant first, each an index."""
    if x.dtype == "b1":
        return [b.cast(x, "i8")]
    size = int(x.dtype[1])
    unsigned, bits = f"u{size}", x
    if x.dtype[0] == "f":
        sign = -(1 << (8 * size - 1))
        raw = b.bitcast(x, f"i{size}")
        raw = b.select(raw.eq(sign), 0, raw)  # -0 is 0
        bits = b.bitcast(b.select(raw < 0, ~raw, raw ^ sign), unsigned)
        bits = b.select(_isnan(x), (1 << (8 * size)) - 1, bits)
    elif x.dtype[0] == "i":
        bits = b.bitcast(x ^ -(1 << (8 * size - 1)), unsigned)
    return [b.cast((bits >> (8 * k) if k else bits) & 255, "i8") for k in range(size)]


def radix_sort(b: Any, source: Line, home: Line, other: Line, n: Any, keys: int) -> None:
    """Sort the n elements of `source` by their first `keys` values, stably, into `home`, with `other` as
    scratch: by one byte after the other, from the least significant one, counting how many elements have each
    value."""

    def digits(values: Sequence[Any]) -> list[Any]:
        return [d for x in reversed(values[:keys]) for d in _digits(b, x)]

    passes = radix_passes([buffer.dtype for buffer in source.buffers[:keys]])
    places = b.local("i8", 256 * passes)  # first the counts, then where the next element of a value goes
    with b.lanes(0, 256 * passes) as i:
        b.store(places, i, b.const(0, "i8"))
    with b.loop(0, n) as i:
        for k, digit in enumerate(digits(source.load(i))):
            b.store(places, digit + 256 * k, b.load(places, digit + 256 * k) + 1)
    for k in range(passes):
        total = b.variable("i8", 0)
        with b.loop(256 * k, 256 * (k + 1)) as i:
            count, before = b.load(places, i), total.value
            b.store(places, i, before)
            total.set(before + count)
    for k in range(passes):
        target = home if (passes - 1 - k) % 2 == 0 else other
        with b.loop(0, n) as i:
            values = source.load(i)
            digit = digits(values)[k] + 256 * k
            place = b.load(places, digit)
            b.store(places, digit, place + 1)
            target.store(place, values)
        source = target


# -- selection -----------------------------------------------------------------------------------------------

CHUNK = 64  # elements whose greatest is compared first: most chunks hold nothing that is wanted


def select_first(b: Any, x: Callable[[Any], Any], target: Line, n: Any, count: Any) -> None:
    """The greatest `count` (at least 1) of the n elements x(i), and where they stand, as `descending` has them, by
    insertion into a sorted list: for a small count."""
    last = b.as_value(count, "i8") - 1
    before = descending(b)
    with b.loop(0, (n + (CHUNK - 1)) / CHUNK) as chunk:
        lo, hi = chunk * CHUNK, b.op("min", chunk * CHUNK + CHUNK, n)
        with (
            b.when(b.op("or", lo < count, _promising(b, x, lo, hi, target.load(last)[0]))),
            b.loop(lo, hi) as i,
        ):
            values = [x(i), b.cast(i, "i4")]
            with b.when(b.op("or", i < count, before(values, target.load(last)))):
                hole = b.variable("i8", b.op("min", i, last))
                with b.repeat_while() as going:
                    at = hole.value
                    previous = target.load(b.op("max", at - 1, 0))
                    going.test(b.op("and", at > 0, before(values, previous)))
                    target.store(at, previous)
                    hole.set(at - 1)
                target.store(hole.value, values)


def candidates(count: int) -> int:
    """How many elements `select_by_sorting` keeps at a time: the room its buffers need."""
    return 2 * count + CHUNK


def select_by_sorting(b: Any, x: Callable[[Any], Any], home: Line, other: Line, n: Any, count: Any) -> None:
    """As `select_first`, for any count, into `home`: what stands before the last one known is appended to the
    others, and when there are twice as many as are wanted they are sorted and the rest forgotten."""
    before = descending(b)
    filled, known = b.variable("i8", 0), b.variable("i8", 0)
    chunks = (n + (CHUNK - 1)) / CHUNK
    with b.loop(0, chunks) as chunk:
        lo, hi = chunk * CHUNK, b.op("min", chunk * CHUNK + CHUNK, n)
        last = b.op("max", b.op("min", known.value, count) - 1, 0)
        unknown = known.value < count
        with b.when(b.op("or", unknown, _promising(b, x, lo, hi, home.load(last)[0]))), b.loop(lo, hi) as i:
            values = [x(i), b.cast(i, "i4")]
            with b.when(b.op("or", unknown, before(values, home.load(last)))):
                home.store(filled.value, values)
                filled.set(filled.value + 1)
        with b.when(b.op("or", filled.value > count * 2, (chunk + 1).eq(chunks))):
            merge_sort(b, home.load, home, other, filled.value, before)
            filled.set(b.op("min", filled.value, count))
            known.set(filled.value)


def _promising(b: Any, x: Callable[[Any], Any], lo: Any, hi: Any, least: Any) -> Any:
    """Does one of the elements lo to hi stand before `least`? Sometimes yes where none does: of zeros the signs
    are not looked at."""
    first = x(lo)
    kind = _number(b, first)
    greatest = b.accumulator("max", kind.dtype, kind)
    with b.lanes(lo, hi) as i:
        greatest.update(_number(b, x(i)))
    most, least = greatest.value, _number(b, least)
    zeros = b.op("and", most.eq(least), least.eq(0))
    return b.op("or", _before(b, least, most), zeros) if most.dtype[0] == "f" else most > least
