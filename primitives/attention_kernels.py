"""The loop programs of attention and of its gradient: the scores of a block of queries and a block of keys
are made, used and forgotten in the caches, so that they never reach memory.

M. N. Rabe and C. Staats, "Self-attention does not need O(n^2) memory", 2021 (arXiv:2112.05682); T. Dao, D. Fu,
S. Ermon, A. Rudra and C. Re, "FlashAttention", 2022 (arXiv:2205.14135).

Scores lie as (keys, queries): lanes are queries, so a row's maximum and sum need no lane of another. In the
results lanes are features. Blocks of keys that are masked for the whole block of queries are left out, unless
a query has no key at all: then its scores are all MASKED, and it takes the mean of the values.
The partition into tiles and the order of sums depend on sizes only."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from fnn.records import record

MASKED = -0.7 * 3.4028234663852886e38  # the score of a masked pair: finite, and less than any score in use
BLOCK = 64  # queries, and keys, of a block
LANES = 16
ROWS = 8  # kept in registers
TURN = 8  # elements of a row that are transposed together
FLOPS = 55.0  # multiply-adds count two; per nanosecond, on one thread


@record(frozen=True)
class Pattern:
    """What is added to scores and which of them are masked.

    left, right: how many keys before and after its own place a query sees, None for all of them. bias, mask,
    lengths: whether there are such operands, in this order after query, key and value: a number for every
    pair, whether the pair counts, and how many keys count in each batch element."""

    scale: float
    left: int | None
    right: int | None
    bias: bool
    mask: bool
    lengths: bool

    @property
    def masks(self) -> bool:
        return self.mask or self.lengths or self.left is not None or self.right is not None

    def sees(self, queries: int, keys: int) -> bool:
        """Whether every query is sure to have a key that is not masked."""
        if self.mask or self.lengths or not keys:
            return False
        behind = self.left is None or (self.left >= 0 and queries <= keys + self.left)
        return behind and (self.right is None or self.right >= 0)


def forward_tiles(query: Sequence[int]) -> int:
    """The number of tiles of `write_forward`; the shape of a query is (batch, queries, heads, features)."""
    batch, queries, heads, _ = query
    return batch * heads * -(-queries // _block(queries))


def backward_tiles(key: Sequence[int]) -> int:
    """The number of tiles of `write_backward`."""
    return key[0] * key[2]


def pairs(pattern: Pattern, queries: int, keys: int) -> float:
    """About how many pairs of a query and a key are not left out."""
    left = keys if pattern.left is None else min(keys, pattern.left + BLOCK)
    right = keys if pattern.right is None else min(keys, max(0, pattern.right) + BLOCK)
    triangle = queries * keys
    if pattern.right is not None and pattern.left is None:
        triangle -= max(0, queries - right) * max(0, keys - right) / 2
    return min(triangle, queries * min(keys, left + right))


def _block(queries: int) -> int:
    """Queries of a block: whole panels."""
    return LANES if queries <= LANES else BLOCK // 2 if queries <= BLOCK // 2 else BLOCK


class _Writer:
    """What both programs consist of. q, k, v: Operands; extra: those that the pattern names."""

    def __init__(self, b: Any, inputs: Sequence[Any], pattern: Pattern, code: str):
        self.b, self.pattern, self.code = b, pattern, code
        self.q, self.k, self.v, *extra = inputs
        self.bias = extra.pop(0) if pattern.bias else None
        self.mask = extra.pop(0) if pattern.mask else None
        self.lengths = extra.pop(0) if pattern.lengths else None
        self.extra = extra
        _, queries, heads, self.features = self.q.shape
        _, keys, groups, _ = self.k.shape
        self.values = self.v.shape[3]
        self.rows = _block(queries)  # queries of a block, the distance of keys' scores
        self.wide = 1 if code == "f8" or self.rows == LANES else 2  # vectors
        self.panel = LANES * self.wide
        self.sees = pattern.sees(queries, keys)
        self.queries, self.keys = b.size(queries), b.size(keys)
        self.heads, self.members = b.size(heads), b.size(heads // groups)
        self.left = None if pattern.left is None else b.size(pattern.left)
        self.right = None if pattern.right is None else b.size(pattern.right)
        self.steps = {x: [b.size(s) for s in x.strides[:3]] for x in (self.q, self.k, self.v)}
        self.pair_steps = {x: _steps(b, x.shape) for x in (self.bias, self.mask) if x is not None}
        self.masked = b.const(MASKED, code)

    def local(self, rows: int, columns: int = 1) -> Any:
        return self.b.local(self.code, rows * columns)

    # -- pieces of the operands
    def place(self, x: Any, batch: Any, row: Any, head: Any) -> Any:
        """Where the features of a row begin."""
        one, two, three = self.steps[x]
        return batch * one + row * two + head * three

    def load(self, buffer: Any, at: Any) -> Any:
        return self.b.cast(self.b.load(buffer, at), self.code)

    def along(self, features: int) -> Any:
        """The lanes of a row of features."""
        return self.b.lanes(0, features, 1 if self.code == "f8" or features <= LANES else 2)

    def copy(self, to: Any, buffer: Any, at: Any, step: Any, count: Any, features: int) -> None:
        """Rows of features, side by side."""
        with self.b.loop(0, count) as i, self.along(features) as v:
            self.b.store(to, i * features + v, self.load(buffer, at + i * step + v))

    def turn(self, to: Any, source: Any, count: Any, features: int, scale: float = 1.0) -> None:
        """Rows of features that lie side by side, transposed; the last one again up to whole panels."""
        b = self.b
        with b.loop(0, (count + (self.panel - 1)) / self.panel * self.panel) as i:
            row = b.op("min", i, count - 1) * features
            with b.loop(0, features, min(TURN, features)) as h:
                for u in range(min(TURN, features)):
                    at = h + u if features % TURN == 0 or u == 0 else b.op("min", h + u, features - 1)
                    x = b.load(source, row + at)
                    b.store(to, at * self.rows + i, x * scale if scale != 1.0 else x)

    def fill(self, to: Any, at: Any, count: Any, features: int, step: Any) -> None:
        with self.b.loop(0, count) as i, self.along(features) as v:
            self.b.store(to, at + i * step + v, 0.0)

    # -- products
    def sums(
        self, starts: Sequence[Any], low: Any, high: Any, left: Callable[..., Any], right: Callable[..., Any]
    ) -> list[Any]:
        """starts[r] + the sum over k in [low, high) of left(r, k) right(k), in registers."""
        b = self.b
        totals = [b.variable(self.code, s) for s in starts]
        with b.loop(low, high) as k:
            y = right(k)
            for r, total in enumerate(totals):
                total.set(total.value + left(r, k) * y)
        return [total.value for total in totals]

    def pair(self, to: Any, rows: Any, turned: Any, features: int, count: Any, column: Any) -> None:
        """to[key, query] = the product of a row of `rows` (keys) and a column of `turned` (queries)."""
        b, n = self.b, self.rows
        with b.loop(0, count, ROWS) as i:
            keys = [b.op("min", i + r, count - 1) for r in range(ROWS)]
            starts = [key * features for key in keys]
            sums = self.sums(
                [0.0] * ROWS,
                0,
                features,
                lambda r, h: b.load(rows, starts[r] + h),
                lambda h: b.load(turned, h * n + column),
            )
            for key, total in zip(keys, sums, strict=True):
                b.store(to, key * n + column, total)

    def gather(
        self, to: Any, at: Any, step: Any, rows: Any, weight: Callable[..., Any], other: Any, features: int,
        between: Callable[..., Any], kept: Callable[..., Any] | None = None,
    ) -> None:  # fmt: skip
        """to[row] = kept(row) to[row] + the sum over k of weight(row, k) other[k], for `rows` rows;
        between(row): the k that count for ROWS of them."""
        b = self.b
        with b.loop(0, rows, ROWS) as i:
            low, high = between(i)
            places = [b.op("min", i + r, rows - 1) for r in range(ROWS)]
            factors = None if kept is None else [kept(place) for place in places]
            with self.along(features) as v:
                targets = [at + place * step + v for place in places]
                starts = [b.load(to, target) for target in targets]
                if factors is not None:
                    starts = [x * f for x, f in zip(starts, factors, strict=True)]
                sums = self.sums(
                    starts,
                    low,
                    high,
                    lambda r, k: weight(places[r], k),
                    lambda k: b.load(other, k * features + v),
                )
                for target, total in zip(targets, sums, strict=True):
                    b.store(to, target, total)

    # -- what a triangle of masked pairs spares within blocks, where each query is sure to have a key
    def until(self, query: Any, k0: Any, count: Any) -> Any:
        """How many of the `count` keys from k0 on the queries up to this one see."""
        if self.right is None or not self.sees:
            return count
        b = self.b
        return b.op("max", b.op("min", query + self.right - k0 + 1, count), 0)

    def since(self, key: Any, first: Any, count: Any) -> Any:
        """How many of the `count` queries from `first` on do not see the keys from this one on."""
        if self.right is None or not self.sees:
            return 0
        b = self.b
        return b.op("max", b.op("min", key - self.right - first, count), 0)

    # -- scores
    def range(self, batch: Any, first: Any, count: Any) -> tuple[Any, Any]:
        """The keys that some of these queries may see: [lo, hi)."""
        b = self.b
        lo, hi = b.as_value(0, "i8"), self.keys
        if self.lengths is not None:
            hi = b.op("min", hi, b.cast(b.load(self.lengths.buffer, batch), "i8"))
        if self.right is not None:
            hi = b.op("min", hi, first + count + self.right)
        if self.left is not None:
            lo = b.op("max", b.op("min", first - self.left, self.keys), 0)
        return lo, hi if hi is self.keys else b.op("max", hi, lo)

    def score(self, raw: Any, batch: Any, head: Any, query: Any, key: Any) -> tuple[Any, Any]:
        """(the score of a pair, whether it counts or None if all do); query: varies from lane to lane."""
        b = self.b
        inside = b.op("min", query, self.queries - 1)

        def at(x: Any) -> Any:
            """A pair's place; operands of one query or key are read again and again."""
            place = b.as_value(0, "i8")
            for index, step, n in zip((batch, head, inside, key), self.pair_steps[x], x.shape, strict=True):
                place = place if n == 1 else place + index * step
            return b.load(x.buffer, place)

        if self.bias is not None:
            raw = raw + b.cast(at(self.bias), self.code)
        conditions = []
        if self.mask is not None:
            conditions.append(at(self.mask))
        mine, its = b.cast(query, "i4"), b.cast(key, "i4")
        if self.lengths is not None:
            conditions.append(key < b.cast(b.load(self.lengths.buffer, batch), "i8"))
        if self.right is not None:
            conditions.append(its <= mine + b.cast(self.right, "i4"))
        if self.left is not None:
            conditions.append(its + b.cast(self.left, "i4") >= mine)
        if not conditions:
            return raw, None
        counts = conditions[0]
        for other in conditions[1:]:
            counts = counts & other
        return b.select(counts, raw, self.masked), counts


def _steps(b: Any, shape: Sequence[int]) -> list[Any]:
    return [b.size(math.prod(shape[d + 1 :])) for d in range(len(shape))]


def write_forward(b: Any, inputs: Sequence[Any], outputs: Sequence[Any], pattern: Pattern, code: str) -> None:
    """out[batch, query, head] = the mean of the values by the weights exp(score); lse[batch, head, query] =
    log(sum(exp(score))). code: in what it is computed."""
    w, (out, lse) = _Writer(b, inputs, pattern, code), [x.buffer for x in outputs]
    n, features, values = w.rows, w.features, w.values
    blocks = b.size(-(-w.q.shape[1] // n))
    with b.tiles() as t:
        turned, keys, held, scores = (
            w.local(n, features),
            w.local(BLOCK, features),
            w.local(BLOCK, values),
            w.local(BLOCK, n),
        )
        total, high, sums, kept = w.local(n, values), w.local(n), w.local(n), w.local(n)
        block, rest = t % blocks, t / blocks
        head, batch = rest % w.heads, rest / w.heads
        group, first = head / w.members, block * n
        count = b.op("min", w.queries - first, n)
        # the block's queries wait in `total`, which is not used yet, if it is large enough
        own = total if values >= features else w.local(n, features)
        w.copy(own, w.q.buffer, w.place(w.q, batch, first, head), w.steps[w.q][1], count, features)
        w.turn(turned, own, count, features, pattern.scale)
        w.fill(total, 0, count, values, values)
        with b.lanes(0, n, w.wide) as v:
            b.store(high, v, -math.inf)
            b.store(sums, v, 0.0)
        lo, hi = w.range(batch, first, count)
        with ExitStack() as stack:
            if not w.sees and pattern.masks:
                # what was left out comes last, for queries without a key
                part = stack.enter_context(b.loop(0, 3))
                start = b.select(part > 0, b.select(part > 1, hi, 0), lo)
                end = b.select(part > 0, b.select(part > 1, w.keys, lo), hi)
                blind = b.accumulator("max", "i4", 0)
                with b.lanes(0, count) as v:
                    blind.update(b.select(b.load(high, v) <= w.masked, b.const(1, "i4"), 0))
                lo, hi = start, b.select((part > 0) & (blind.value < 1), start, end)
            k0 = stack.enter_context(b.loop(lo, hi, BLOCK))
            some = b.op("min", hi - k0, BLOCK)
            w.copy(keys, w.k.buffer, w.place(w.k, batch, k0, group), w.steps[w.k][1], some, features)
            w.copy(held, w.v.buffer, w.place(w.v, batch, k0, group), w.steps[w.v][1], some, values)
            with b.loop(0, count, w.panel) as p, b.lanes(0, w.panel, w.wide) as v:
                column = p + v
                near = w.until(first + p + (w.panel + ROWS), k0, some)
                w.pair(scores, keys, turned, features, near, column)
                before = b.load(high, column)
                top = b.variable(code, before)
                with b.loop(0, near) as j:
                    at = j * n + column
                    score, _ = w.score(b.load(scores, at), batch, head, first + column, k0 + j)
                    if score.op != "load":
                        b.store(scores, at, score)
                    top.set(b.op("max", top.value, score))
                # where all scores are -inf so far nothing is to be subtracted
                base = b.select(top.value.eq(-math.inf), 0.0, top.value)
                factor = b.math("exp", before - base)
                sum_ = b.variable(code, b.load(sums, column) * factor)
                with b.loop(0, near) as j:
                    at = j * n + column
                    weight = b.math("exp", b.load(scores, at) - base)
                    b.store(scores, at, weight)
                    sum_.set(sum_.value + weight)
                b.store(high, column, top.value)
                b.store(sums, column, sum_.value)
                b.store(kept, column, factor)
            w.gather(
                total, 0, values, count, lambda i, j: b.load(scores, j * n + i), held, values,
                lambda i: (0, w.until(first + i + (ROWS - 1), k0, some)), lambda i: b.load(kept, i),
            )  # fmt: skip
        with b.loop(0, count) as i:
            whole = b.load(sums, i)
            place = ((batch * w.queries + first + i) * w.heads + head) * values
            with w.along(values) as v:
                value = b.load(total, i * values + v) / whole
                b.store(out, place + v, value)
        with b.lanes(0, count) as v:
            place = (batch * w.heads + head) * w.queries + first + v
            b.store(lse, place, b.load(high, v) + b.math("log", b.load(sums, v)))


def write_backward(
    b: Any, inputs: Sequence[Any], outputs: Sequence[Any], pattern: Pattern, code: str
) -> None:
    """The cotangents of query, key and value. The last inputs: lse, delta (batch, head, query) and the
    result's cotangent. A pair of weight p gets p (ct . value - delta) as the cotangent of its score."""
    w = _Writer(b, inputs, pattern, code)
    lse, delta, ct = w.extra
    w.steps[ct] = [b.size(s) for s in ct.strides[:3]]
    dq, dk, dv = [x.buffer for x in outputs]
    n, features, values = w.rows, w.features, w.values
    groups = b.size(w.k.shape[2])
    with b.tiles() as t:
        query, turned = w.local(n, features), w.local(n, features)
        cts, cts_turned = w.local(n, values), w.local(n, values)
        keys, held = w.local(BLOCK, features), w.local(BLOCK, values)
        weights, slopes = w.local(BLOCK, n), w.local(BLOCK, n)
        own, logs, means = w.local(n, features), w.local(n), w.local(n)
        group, batch = t % groups, t / groups
        first_key = batch * w.keys * groups + group
        w.fill(dk, first_key * features, w.keys, features, groups * features)
        w.fill(dv, first_key * values, w.keys, values, groups * values)
        with b.loop(0, w.members) as member, b.loop(0, w.queries, n) as first:
            head = group * w.members + member
            count = b.op("min", w.queries - first, n)
            w.copy(query, w.q.buffer, w.place(w.q, batch, first, head), w.steps[w.q][1], count, features)
            w.copy(cts, ct.buffer, w.place(ct, batch, first, head), w.steps[ct][1], count, values)
            w.turn(turned, query, count, features, pattern.scale)
            w.turn(cts_turned, cts, count, values)
            w.fill(own, 0, count, features, features)
            line = (batch * w.heads + head) * w.queries + first
            blind = b.accumulator("max", "i4", 0)
            with b.lanes(0, count) as v:
                log = w.load(lse.buffer, line + v)
                b.store(logs, v, log)
                b.store(means, v, w.load(delta.buffer, line + v))
                if not w.sees and pattern.masks:
                    blind.update(b.select(log <= MASKED / 2, b.const(1, "i4"), 0))
            with b.lanes(count, n) as v:  # the rest of a panel is computed with, and not used
                b.store(logs, v, 0.0)
                b.store(means, v, 0.0)
            lo, hi = w.range(batch, first, count)
            if not w.sees and pattern.masks:
                lo = b.select(blind.value > 0, 0, lo)
                hi = b.select(blind.value > 0, w.keys, hi)
            with b.loop(lo, hi, BLOCK) as k0:
                some = b.op("min", hi - k0, BLOCK)
                w.copy(keys, w.k.buffer, w.place(w.k, batch, k0, group), w.steps[w.k][1], some, features)
                w.copy(held, w.v.buffer, w.place(w.v, batch, k0, group), w.steps[w.v][1], some, values)
                with b.loop(0, count, w.panel) as p, b.lanes(0, w.panel, w.wide) as v:
                    column = p + v
                    near = w.until(first + p + (w.panel + ROWS), k0, some)
                    w.pair(weights, keys, turned, features, near, column)
                    w.pair(slopes, held, cts_turned, values, near, column)
                    log, mean = b.load(logs, column), b.load(means, column)
                    share = None
                    if not w.sees and pattern.masks:
                        one = b.const(1.0, code)
                        share = b.select(log <= MASKED / 2, one / b.cast(w.keys, code), one)
                    with b.loop(0, near) as j:
                        at = j * n + column
                        score, counts = w.score(b.load(weights, at), batch, head, first + column, k0 + j)
                        weight = b.math("exp", score - log)
                        if share is not None:
                            weight = weight * share
                        slope = weight * (b.load(slopes, at) - mean)
                        b.store(weights, at, weight)
                        b.store(slopes, at, slope if counts is None else b.select(counts, slope, 0.0))
                there = (first_key + k0 * groups) * values

                def queries(j: Any, first: Any = first, k0: Any = k0, count: Any = count) -> tuple[Any, Any]:
                    return w.since(k0 + j, first, count), count

                w.gather(
                    dv, there, groups * values, some, lambda j, i: b.load(weights, j * n + i), cts, values,
                    queries,
                )  # fmt: skip
                there = (first_key + k0 * groups) * features
                w.gather(
                    dk, there, groups * features, some, lambda j, i: b.load(slopes, j * n + i), query, features,
                    queries,
                )  # fmt: skip
                w.gather(
                    own, 0, features, count, lambda i, j: b.load(slopes, j * n + i), keys, features,
                    lambda i: (0, w.until(first + i + (ROWS - 1), k0, some)),
                )  # fmt: skip
            with b.loop(0, count) as i, w.along(features) as v:
                place = ((batch * w.queries + first + i) * w.heads + head) * features
                b.store(dq, place + v, b.load(own, i * features + v) * pattern.scale)
        if pattern.scale != 1.0:
            with b.loop(0, w.keys) as j, w.along(features) as v:
                place = (first_key + j * groups) * features + v
                b.store(dk, place, b.load(dk, place) * pattern.scale)
