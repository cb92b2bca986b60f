"""What every kind of loop program of a nest is written with: places, nodes, stores, reductions by lanes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from fnn.kernels.loops import INDEX, Buffer, Builder, Operand, Value, Variable, computed
from fnn.kernels.nest import Nest, node_args
from fnn.kernels.ops import identity, number
from fnn.kernels.streams import streamed
from fnn.kernels.totals import Total, partial_code

SUM_BLOCK = 1024  # elements a lane-wise sum runs over before it is added to the total: errors stay small

Memo = dict[Any, Any]  # per node its value here; also, per expression with several results, all of them
_DTYPES = {
    code: np.dtype(bool if code == "b1" else code)
    for code in ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8")
}


def closure(nest: Nest, targets: Iterable[int], stop: Callable[[int], bool]) -> list[int]:
    """What has to be computed for the targets, in order; nodes that `stop` are there already."""
    seen = {t for t in targets if not stop(t)}
    todo = list(seen)
    while todo:
        for a in node_args(nest.nodes[todo.pop()]):
            if a not in seen and not stop(a):
                seen.add(a)
                todo.append(a)
    return sorted(seen)


class Writer:
    """Records the program of a nest; each kind of nest adds its loops."""

    def __init__(self, nest: Nest):
        self.nest, self.b = nest, Builder()
        past = streamed(nest)
        self.arguments = [
            self.b.argument(code, output=k in nest.outputs, streamed=k in past)
            for k, code in enumerate(nest.codes)
        ]
        declared = iter([self.b.size(n) for n in nest.sizes()])
        together = nest.turned or nest.banded or nest.grouped
        first: list[Operand] = [next(declared)] if together else [0]  # 0: not needed
        self.outer: list[Operand] = [*first, *(next(declared) for _ in nest.outer[1:])]
        self.inner: list[Operand] = list(nest.inner)
        if nest.kind == "col":
            self.inner = [next(declared) for _ in nest.inner]
            self.run, self.parts, self.panel = next(declared), next(declared), next(declared)
        elif not nest.static:
            self.inner = [next(declared)]
        self.steps: list[tuple[list[Operand], list[Operand]]] = []
        for a in nest.accesses:
            outer = [nest.outer_step(a, d) for d in range(len(a.outer))]
            inner = [nest.inner_step(a, d) for d in range(len(a.inner))]
            self.steps.append(
                (
                    [next(declared) if s is None else s for s in outer],
                    [next(declared) if s is None else s for s in inner],
                )
            )
        self.base: list[Operand] = []
        self.here: dict[int, Operand] = {}  # accesses whose place is known without the inner indices
        self.staged: dict[
            int, Buffer
        ] = {}  # accesses that are copied to or from such a block; at: where there
        self.at: Operand = 0
        self.reductions = nest.reductions

    # -- places
    def start(self, tile: Operand, last: Sequence[Operand] = ()) -> None:
        """Where every access starts in this tile; tile numbers the points of the outer axes but those that
        `last` gives."""
        index: list[Operand] = list(last)
        if len(index) < len(self.outer):
            for size in reversed(self.outer[1 : len(self.outer) - len(index)]):
                index.insert(0, self.b.op("rem", tile, size))
                tile = self.b.op("div", tile, size)
            index.insert(0, tile)
        self.base = [self.sum(0, zip(index, outer, strict=True)) for outer, _ in self.steps]

    def rows_of(self, tile: Value, count: int) -> tuple[Value, Value, Value]:
        """Of a tile that is a group of rows, `count` or less: their number, the first one, and the tile's number among
        the axes before."""
        b = self.b
        height = b.as_value(self.outer[-1], INDEX)
        top, rest = tile * count, b.const(0, INDEX)
        if len(self.nest.outer) > 1:
            groups = (height + (count - 1)) // count
            top, rest = (tile % groups) * count, tile // groups
        return b.op("min", height - top, count), top, rest

    def sum(self, start: Operand, terms: Iterable[tuple[Operand, Operand]]) -> Operand:
        """start + the sum of products, constants folded."""
        for x, step in terms:
            if type(step) is int and step == 0:
                continue
            product = self.b.as_value(x, INDEX) * step
            start = product if type(start) is int and start == 0 else self.b.as_value(start, INDEX) + product
        return start

    def place(self, access: int, inner: Sequence[Operand]) -> Operand:
        if access in self.here:
            return self.here[access]
        return self.sum(self.base[access], zip(inner, self.steps[access][1], strict=True))

    # -- nodes
    def compute(self, wanted: Iterable[int], memo: Memo, inner: Sequence[Operand]) -> None:
        for i in wanted:
            if i not in memo:
                memo[i] = self.node(i, memo, inner)

    def node(self, i: int, memo: Memo, inner: Sequence[Operand]) -> Value:
        b, n = self.b, self.nest.nodes[i]
        kind, code = n[0], n[1]
        if kind == "load" and n[2] in self.staged:
            return b.load(self.staged[n[2]], self.at)
        if kind == "load":
            return b.load(self.arguments[self.nest.accesses[n[2]].argument], self.place(n[2], inner))
        if kind == "index":
            at = b.as_value(self.place(n[2], inner), INDEX) + self.nest.accesses[n[2]].offset
            return b.cast(at, computed(code))
        if kind == "const":
            return b.const(number(n[2], code), computed(code))
        if kind == "round":
            return rounded(b, memo[n[2]], code)
        label, item = n[2], n[3]
        if item is None:
            out = self.nest.expressions[label].write(b, *[memo[a] for a in n[4:]])
        else:
            key: Any = (label, n[4:])
            if key not in memo:
                memo[key] = self.nest.expressions[label].write(b, *[memo[a] for a in n[4:]])
            out = memo[key][item]
        out = b.as_value(out, computed(code))
        if out.dtype != computed(code):
            raise TypeError(f"the expression of {label} gives a {out.dtype} where its result is a {code}")
        return out

    def uniform(self, memo: Memo, level: Sequence[int], upto: int) -> None:
        """Compute what is the same for a whole row and needs no later reduction."""
        zeros = [0] * len(self.nest.inner)
        self.compute(
            [
                i
                for i, n in enumerate(self.nest.nodes)
                if not self.nest.full[i] and level[i] <= upto and n[0] != "reduce"
            ],
            memo,
            zeros,
        )

    def store(self, node: int, access: int, memo: Memo, inner: Sequence[Operand], more: Operand = 0) -> None:
        """more: where a reduction's part goes, beside the place its access says."""
        if access in self.staged:
            self.b.store(self.staged[access], self.at, memo[node])
            return
        at = self.place(access, inner)
        if not (type(more) is int and more == 0):
            at = self.b.as_value(at, INDEX) + more
        target, value = self.arguments[self.nest.accesses[access].argument], memo[node]
        if node in self.reductions:  # what is left in parts stays as it was gathered
            value = self.b.cast(value, computed(target.dtype))
        self.b.store(target, at, value)

    def code(self, node: int) -> str:
        return computed(self.nest.nodes[node][1])

    def gathered_as(self, reduction: int) -> str:
        return partial_code(self.nest.nodes[reduction][2], self.code(reduction))

    def part(self, reduction: int, memo: Memo) -> Value:
        """What an element adds to a reduction."""
        return self.b.cast(memo[self.nest.nodes[reduction][3]], self.gathered_as(reduction))

    def identity(self, node: int) -> Any:
        return identity(self.nest.nodes[node][2], _DTYPES[self.gathered_as(node)])

    def loops(self, stack: ExitStack, sizes: Sequence[Operand]) -> list[Value]:
        return [stack.enter_context(self.b.loop(0, n)) for n in sizes]

    def totals(self, reductions: Sequence[int]) -> list[Total]:
        return [
            Total(self.b, self.nest.nodes[r][2], self.gathered_as(r), self.identity(r)) for r in reductions
        ]

    def blocked(
        self,
        lo: Value,
        hi: Value,
        reductions: Sequence[int],
        memo: Memo,
        body: Callable[[Value, Sequence[Variable]], None],
    ) -> None:
        """Reduce over [lo, hi) by lanes, in blocks, so that long sums stay accurate; results go to memo."""
        b, nest = self.b, self.nest

        def accumulators() -> list[Variable]:
            return [
                b.accumulator(nest.nodes[r][2], self.gathered_as(r), self.identity(r)) for r in reductions
            ]

        if lo.op == hi.op == "const" and hi.payload - lo.payload <= 2 * SUM_BLOCK:
            parts = accumulators()
            with b.lanes(lo, hi) as i:
                body(i, parts)
            memo.update((r, p.value) for r, p in zip(reductions, parts, strict=True))
            return
        totals = self.totals(reductions)
        with b.loop(lo, hi, SUM_BLOCK) as k:
            parts = accumulators()
            with b.lanes(k, b.op("min", k + SUM_BLOCK, hi)) as i:
                body(i, parts)
            for total, part in zip(totals, parts, strict=True):
                total.add(part.value)
        memo.update((r, t.value) for r, t in zip(reductions, totals, strict=True))


def rounded(b: Builder, x: Value, code: str) -> Value:
    """A float32 value rounded to the nearest bfloat16 ("bf") or float16 ("f2"), ties to even, as a float32.

    Done on the bits, so that no printer's freedom to reassociate can undo it. Below the smallest normal
    float16 the spacing is constant (2**-24): there scaling, rounding to an integer and scaling back is
    exact."""
    bits = b.bitcast(x, "u4")
    drop = 16 if code == "bf" else 13
    odd = (bits >> b.const(drop, "u4")) & 1
    up = (bits + ((1 << drop - 1) - 1) + odd) & (0xFFFFFFFF ^ (1 << drop) - 1)
    result = b.bitcast(up, "f4")
    if code == "f2":
        size = b.op("abs", x)
        small = b.op("rint", x * 2.0**24) * 2.0**-24
        result = b.select(size < 2.0**-14, small, result)
        over = b.op("copysign", b.const(float("inf"), "f4"), x)
        result = b.select(size >= 65520.0, over, result)
    return b.select(x.ne(x), x, result)
