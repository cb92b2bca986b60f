"""Nest -> loop program. Every node is recorded once per place where it is needed, in the nest's order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import ExitStack

from fnn.kernels.loops import INDEX, Buffer, Operand, Program, Value, Variable, computed
from fnn.kernels.loops import TURN as SQUARE
from fnn.kernels.nest import BAND, BLOCK, NARROW, PART, SPAN, TURN, TURNED, Nest, node_args
from fnn.kernels.nest_columns import Columns
from fnn.kernels.nest_writer import Memo, closure

SEVERAL = 6  # heavy values in a body, from which several vectors are walked at a time
HEAVY = 8  # weight from which a value of a row is kept for later passes over the row
AGAIN = (
    32  # values of a row that a pass may compute again; beyond, they wait in scratch rows as heavy ones do
)
TOGETHER = 32  # short rows that are copied at a time
SCRATCH_BYTES = 1 << 16  # of stack that a kernel may use for that


def program_of(nest: Nest) -> Program:
    """The loops of a nest: arguments in its order, run-time sizes in the order of `Nest.sizes`."""
    writer = _Program(nest)
    ways = {
        "map": writer.grouped if nest.grouped else writer.map,
        "row": writer.side_by_side if nest.side_by_side else writer.bands if nest.banded else writer.row,
        "col": writer.col,
    }
    way = writer.turn if nest.turned else writer.folded if nest.folded else ways[nest.kind]
    way()
    return writer.b.program


def passes_of(nest: Nest) -> list[int]:
    """Per node, the pass over the row in which it can be computed: one later than what its reductions
    need."""
    level: list[int] = []
    for n in nest.nodes:
        level.append(max([level[a] for a in node_args(n)], default=0) + (n[0] == "reduce"))
    return level


def row_plan(nest: Nest, level: Sequence[int], last: int) -> tuple[set[int], list[list[int]]]:
    """For a row nest: (nodes kept in scratch rows, per pass the nodes it computes). What an earlier pass computed
    is read from its scratch row if it is costly, or if there is much of it."""
    size = 8 * math.prod(nest.inner)
    kept: set[int] = set()
    computed_before: set[int] = set()
    plan = []

    def needed(targets: list[int], ready: set[int]) -> list[int]:
        """What is to be computed for the targets if these nodes may be kept."""

        def stop(i: int) -> bool:
            if i in ready and i not in kept and size * (len(kept) + 1) <= SCRATCH_BYTES:
                kept.add(i)
            return i in kept or not nest.full[i]

        return closure(nest, targets, stop)

    for p in range(last + 1):
        targets = [nest.nodes[r][3] for r in nest.reductions if level[r] == p + 1]
        targets += [n for n, a in nest.stores if nest.wide(a) and level[n] == p]
        wanted = needed(targets, {i for i in computed_before if _heavy(nest, i)})
        if sum([i in computed_before for i in wanted]) > AGAIN:
            wanted = needed(targets, {i for i in computed_before if nest.nodes[i][0] == "apply"})
        plan.append(wanted)
        computed_before |= set(wanted)
    return kept, plan


def _heavy(nest: Nest, i: int) -> bool:
    n = nest.nodes[i]
    return (
        n[0] == "apply" and nest.expressions[n[2]].weight(tuple([nest.nodes[a][1] for a in n[4:]])) >= HEAVY
    )


def last_loads(nest: Nest) -> dict[int, int]:
    """Per access that is loaded, the last pass over the row that may read it; all zero but for row nests."""
    out = {n[2]: 0 for n in nest.nodes if n[0] == "load"}
    if nest.kind == "row":
        level = passes_of(nest)
        for p, wanted in enumerate(row_plan(nest, level, last_pass(nest, level))[1]):
            out.update((nest.nodes[i][2], p) for i in wanted if nest.nodes[i][0] == "load")
    return out


def last_pass(nest: Nest, level: Sequence[int]) -> int:
    """The last pass over a row that reduces or stores at every point."""
    return max(
        [level[r] - 1 for r in nest.reductions] + [level[n] for n, a in nest.stores if nest.wide(a)] + [0]
    )


class _Program(Columns):
    def vectors(self, wanted: Iterable[int]) -> int:
        """How many vectors to walk at a time. Functions of mathematics in a long row keep the processor waiting
        for one vector's results, and leave room for others."""
        heavy = [self.code(i) for i in wanted if _heavy(self.nest, i)]
        return 1 if len(heavy) < SEVERAL else 2 if "f8" in heavy else 4

    def map(self) -> None:
        """Blocks of the last axis; with reductions, each tile stores its part of each."""
        nest, b = self.nest, self.b
        whole = nest.static
        block = PART if self.reductions else BLOCK
        level = [0] * len(nest.nodes)
        wide = [(n, a) for n, a in nest.stores if nest.wide(a)]
        narrow = [(n, a) for n, a in nest.stores if not nest.wide(a) and n not in self.reductions]
        with b.tiles() as tile:
            if whole:
                self.start(tile)
                lo, hi = b.const(0, INDEX), b.as_value(nest.width, INDEX)
            else:
                width = b.as_value(self.inner[0], INDEX)
                if nest.flat:
                    self.start(b.const(0, INDEX))
                    lo = tile * block
                else:
                    blocks = (width + (block - 1)) // block
                    self.start(tile // blocks)
                    lo = (tile % blocks) * block
                hi = b.op("min", lo + block, width)
            memo: Memo = {}
            self.uniform(memo, level, 0)
            targets = [n for n, _ in wide] + [nest.nodes[r][3] for r in self.reductions]
            wanted = closure(nest, targets, memo.__contains__)

            def body(i: Value, parts: Sequence[Variable]) -> None:
                here = dict(memo)
                self.compute(wanted, here, [i])
                for n, a in wide:
                    self.store(n, a, here, [i])
                for r, part in zip(self.reductions, parts, strict=True):
                    part.update(self.part(r, here))

            if wide or self.reductions:
                if self.reductions:
                    self.blocked(lo, hi, self.reductions, memo, lambda i, parts: body(i, parts))
                else:
                    with b.lanes(lo, hi, self.vectors(wanted)) as i:
                        body(i, ())
            for n, a in narrow:
                self.store(n, a, memo, [0])
            for n, a in nest.stores:
                if n in self.reductions:
                    self.store(n, a, memo, [0], tile)

    def grouped(self) -> None:
        """Groups of rows."""
        nest, b = self.nest, self.b
        wide = [(n, a) for n, a in nest.stores if nest.wide(a)]
        narrow = [(n, a) for n, a in nest.stores if not nest.wide(a)]
        with b.tiles() as tile:
            rows, top, rest = self.rows_of(tile, BLOCK // nest.width)
            with b.loop(0, rows) as row:
                self.start(rest, [top + row])
                memo: Memo = {}
                self.uniform(memo, [0] * len(nest.nodes), 0)
                wanted = closure(nest, [n for n, _ in wide], memo.__contains__)
                with b.lanes(0, b.as_value(nest.width, INDEX), self.vectors(wanted)) as i:
                    here = dict(memo)
                    self.compute(wanted, here, [i])
                    for n, a in wide:
                        self.store(n, a, here, [i])
                for n, a in narrow:
                    self.store(n, a, memo, [0])

    def folded(self) -> None:
        """Groups of short rows, one after the other by lanes. What does not lie so in memory is copied, some rows a
        time, to where it does: machines gather and scatter slower than that."""
        nest, b, width = self.nest, self.b, self.nest.width
        loads = dict.fromkeys([n[2] for n in nest.nodes if n[0] == "load"])
        with b.tiles() as tile:
            rows, top, rest = self.rows_of(tile, BLOCK // nest.width)
            if len(loads) == len(nest.nodes):  # a mere copy
                near = width <= NARROW and all(a.outer[-1] in (0, 1, width) for a in nest.accesses)
                with (b.lanes if near else b.loop)(0, rows) as r:
                    self.start(rest, [top + r])
                    for column in range(width):
                        memo: Memo = {}
                        for n, a in nest.stores:
                            self.compute([n], memo, [column])
                            self.store(n, a, memo, [column])
                return
            self.start(rest, [top])
            apart = [k for k in (*loads, *(a for _, a in nest.stores)) if not nest.joined(k)]
            codes = [computed(nest.codes[nest.accesses[k].argument]) for k in apart]
            block = dict(zip(apart, [b.local(code, TOGETHER * width) for code in codes], strict=True))
            self.move_rows([k for k in loads if k in block and self.periodic(k)], block, 0, TOGETHER, True)
            with b.loop(0, rows, TOGETHER) as first:
                count = b.op("min", rows - first, TOGETHER)
                self.move_rows(
                    [k for k in loads if k in block and not self.periodic(k)], block, first, count, True
                )
                with b.lanes(0, count * width) as i:
                    for k, (at, (outer, inner)) in enumerate(zip(self.base, self.steps, strict=True)):
                        if nest.joined(k):
                            self.here[k] = b.as_value(at, INDEX) + first * width + i
                        elif k not in block:  # positions
                            # the row an element is in follows from its number by a product, as numbers are small
                            row = b.cast((b.cast(i, "u4") * ((1 << 20) // width + 1)) >> 20, INDEX)
                            self.here[k] = self.sum(
                                at, [(first + row, outer[-1]), (i - row * width, inner[-1])]
                            )
                    self.staged, self.at = block, i
                    memo = {}
                    self.compute(closure(nest, [n for n, _ in nest.stores], memo.__contains__), memo, [0])
                    for n, a in nest.stores:
                        self.store(n, a, memo, [0])
                    self.staged, self.here = {}, {}
                self.move_rows([a for _, a in nest.stores if a in block], block, first, count, False)

    def periodic(self, access: int) -> bool:
        """Does every row read the same?"""
        return self.nest.accesses[access].outer[-1] == 0

    def move_rows(
        self, accesses: Sequence[int], block: dict[int, Buffer], first: Operand, count: Operand, load: bool
    ) -> None:
        """Copy rows between where they are and blocks in which they follow each other."""
        if not accesses:
            return
        b, width = self.b, self.nest.width
        with b.loop(0, count) as r:
            for k in accesses:
                argument = self.arguments[self.nest.accesses[k].argument]
                (*_, outer), (*_, inner) = self.steps[k]
                at = self.sum(self.base[k], [(b.as_value(first, INDEX) + r, outer)])
                for column in range(width):
                    place = self.sum(at, [(column, inner)])
                    if load:
                        b.store(block[k], r * width + column, b.load(argument, place))
                    else:
                        b.store(argument, place, b.load(block[k], r * width + column))

    def turn(self) -> None:
        """Blocks of the last two axes. Loads against the grain are copied into a block on the stack, element
        by element but a cache line at a time, and read from there by lanes."""
        nest, b = self.nest, self.b
        height, width = b.as_value(self.outer[-1], INDEX), b.as_value(self.inner[0], INDEX)
        wide = [(n, a) for n, a in nest.stores if nest.wide(a)]
        with b.tiles() as tile:
            blocks = (width + (SPAN - 1)) // SPAN
            lo, rest = (tile % blocks) * SPAN, tile // blocks
            blocks = (height + (TURN - 1)) // TURN
            first, rest = (rest % blocks) * TURN, rest // blocks
            rows, columns = b.op("min", height - first, TURN), b.op("min", width - lo, SPAN)
            self.start(rest, [first])
            staged: dict[int, Buffer] = {}
            for access in nest.staged:
                block = staged[access] = b.local(
                    computed(nest.codes[nest.accesses[access].argument]), TURN * SPAN
                )
                self.stage(access, block, lo, rows, columns)
            with b.loop(0, rows) as row:
                self.start(rest, [first + row])
                memo: Memo = {}
                self.uniform(memo, [0] * len(nest.nodes), 0)
                wanted = closure(nest, [n for n, _ in wide], memo.__contains__)
                with b.lanes(0, columns) as j:
                    here = dict(memo)
                    for i in wanted:
                        n = nest.nodes[i]
                        if n[0] == "load" and n[2] in staged:
                            here[i] = b.load(staged[n[2]], row * SPAN + j)
                        else:
                            self.compute([i], here, [lo + j])
                    for n, a in wide:
                        self.store(n, a, here, [lo + j])

    def stage(self, access: int, block: Buffer, lo: Value, rows: Value, columns: Value) -> None:
        """Copy what an access reads in a tile of a turned nest: contiguous elements in square blocks, those at the end
        over part of those before; elements with gaps, and too few of them, one by one."""
        b = self.b
        argument = self.arguments[self.nest.accesses[access].argument]
        step, far = self.steps[access][0][-1], self.steps[access][1][-1]
        with ExitStack() as stack:
            if type(step) is int and step == 1:
                whole = (rows >= SQUARE) & (columns >= SQUARE)
                with b.when(whole), b.loop(0, columns, SQUARE) as j, b.loop(0, rows, SQUARE) as k:
                    j, k = b.op("min", j, columns - SQUARE), b.op("min", k, rows - SQUARE)
                    at = b.as_value(self.place(access, [lo + j]), INDEX) + k
                    b.turn(block, k * SPAN + j, SPAN, argument, at, far)
                stack.enter_context(b.when(~whole))
            with b.loop(0, columns) as j:
                at = b.as_value(self.place(access, [lo + j]), INDEX)
                with b.loop(0, rows // TURNED) as strip:
                    k = strip * TURNED
                    for i in range(TURNED):
                        b.store(block, k * SPAN + j + i * SPAN, b.load(argument, at + (k + i) * step))
                with b.loop(rows // TURNED * TURNED, rows) as k:
                    b.store(block, k * SPAN + j, b.load(argument, at + k * step))

    def row(self) -> None:
        """One tile is one row, walked in as many passes as reductions build on each other. Costly values that
        a later pass needs again wait in a scratch row."""
        nest, b = self.nest, self.b
        level = passes_of(nest)
        wide = [(n, a) for n, a in nest.stores if nest.wide(a)]
        last = last_pass(nest, level)
        kept, plan = row_plan(nest, level, last)
        room = math.prod(nest.inner)
        scratch: dict[int, Buffer] = {}
        with b.tiles() as tile:
            self.start(tile)
            for i in sorted(kept):
                scratch[i] = b.local(self.code(i), room)
            memo: Memo = {}
            done: set[int] = set()
            for p in range(last + 1):
                self.uniform(memo, level, p)
                reductions = [r for r in self.reductions if level[r] == p + 1]
                stores = [(n, a) for n, a in wide if level[n] == p]
                if reductions or stores:
                    self.row_pass(reductions, stores, plan[p], scratch, memo, done)
                    done |= kept & set(plan[p])
            self.uniform(memo, level, last + 1)
            for n, a in nest.stores:
                if not nest.wide(a):
                    self.store(n, a, memo, [0] * len(nest.inner))

    def bands(self) -> None:
        """One tile is a band of rows. What is computed once per row is done by lanes, a row each, between the
        passes over the rows; it waits in arrays of a number per row."""
        nest, b = self.nest, self.b
        level = passes_of(nest)
        wide = [(n, a) for n, a in nest.stores if nest.wide(a)]
        narrow = [(n, a) for n, a in nest.stores if not nest.wide(a)]
        last = last_pass(nest, level)
        kept, plan = row_plan(nest, level, last)
        single = [i for i, n in enumerate(nest.nodes) if not nest.full[i] and n[0] in ("apply", "round")]
        later = {n for n, _ in wide} | {n for n, _ in narrow if level[n] <= last}
        for j, node in enumerate(nest.nodes):
            apart = nest.full[j] or node[0] == "reduce"
            later.update(a for a in node_args(node) if apart or level[j] != level[a])
        room = math.prod(nest.inner)
        with b.tiles() as tile:
            rows, top, rest = self.rows_of(tile, BAND)
            scratch = {i: b.local(self.code(i), room * BAND) for i in sorted(kept)}
            column = {
                i: b.local(self.code(i), BAND)
                for i in (*self.reductions, *single)
                if i in later or i in self.reductions
            }
            done: set[int] = set()

            def fetch(wanted: Iterable[int], row: Value) -> Memo:
                """Values of one row: what waits in arrays, and loads and constants."""
                memo: Memo = {}
                for i in wanted:
                    if i in column:
                        memo[i] = b.load(column[i], row)
                    else:
                        self.compute([i], memo, [0] * len(nest.inner))
                return memo

            def between(p: int, stores: Sequence[tuple[int, int]]) -> None:
                """What needs p passes, by lanes."""
                mine = [i for i in single if level[i] == p]
                if not mine and not stores:
                    return
                with b.lanes(0, rows) as row:
                    self.start(rest, [top + row])
                    given = {a for i in mine for a in node_args(nest.nodes[i])} | {n for n, _ in stores}
                    memo = fetch(sorted(given.difference(mine)), row)
                    self.compute(mine, memo, [0] * len(nest.inner))
                    for i in sorted(later.intersection(mine)):
                        b.store(column[i], row, memo[i])
                    for n, a in stores:
                        self.store(n, a, memo, [0] * len(nest.inner))

            for p in range(last + 1):
                between(p, ())
                reductions = [r for r in self.reductions if level[r] == p + 1]
                stores = [(n, a) for n, a in wide if level[n] == p]
                if not reductions and not stores:
                    continue
                given = {a for i in plan[p] for a in node_args(nest.nodes[i])} | {n for n, _ in stores}
                given |= {nest.nodes[r][3] for r in reductions}
                with b.loop(0, rows) as row:
                    self.start(rest, [top + row])
                    memo = fetch(sorted(i for i in given if not nest.full[i]), row)
                    self.row_pass(reductions, stores, plan[p], scratch, memo, done, row * room)
                    for r in reductions:
                        b.store(column[r], row, memo[r])
                done |= kept & set(plan[p])
            between(last + 1, narrow)

    def row_pass(
        self,
        reductions: Sequence[int],
        stores: Sequence[tuple[int, int]],
        wanted: Sequence[int],
        scratch: dict[int, Buffer],
        memo: Memo,
        done: set[int],
        first: Operand = 0,
    ) -> None:
        """first: where the row starts in the scratch arrays."""
        nest, b = self.nest, self.b
        width = nest.width
        used = {a for j in wanted for a in node_args(nest.nodes[j])} | {n for n, _ in stores}
        used |= {nest.nodes[r][3] for r in reductions}
        waiting = sorted(done & used)

        def body(outer: Sequence[Operand], i: Value, parts: Sequence[Variable]) -> None:
            inner = [*outer, i]
            at: Operand = i
            for x, n in zip(reversed(outer), _products(nest.inner), strict=True):
                at = b.as_value(x, INDEX) * n + at
            at = b.as_value(first, INDEX) + at
            here = dict(memo)
            for j in waiting:
                here[j] = b.load(scratch[j], at)
            for j in wanted:
                self.compute([j], here, inner)
                if j in scratch and j not in done:
                    b.store(scratch[j], at, here[j])
            for n, a in stores:
                self.store(n, a, here, inner)
            for r, part in zip(reductions, parts, strict=True):
                part.update(self.part(r, here))

        lo, hi = b.const(0, INDEX), b.const(width, INDEX)
        if len(nest.inner) == 1:
            if reductions:
                self.blocked(lo, hi, reductions, memo, lambda i, parts: body((), i, parts))
                memo.update((r, b.cast(memo[r], self.code(r))) for r in reductions)
            else:
                with b.lanes(lo, hi) as i:
                    body((), i, ())
            return
        totals = self.totals(reductions)
        with ExitStack() as stack:
            outer = self.loops(stack, nest.inner[:-1])
            inside: Memo = {}
            if reductions:
                self.blocked(lo, hi, reductions, inside, lambda i, parts: body(outer, i, parts))
            else:
                with b.lanes(lo, hi) as i:
                    body(outer, i, ())
            for r, total in zip(reductions, totals, strict=True):
                total.add(inside[r])
        memo.update((r, b.cast(t.value, self.code(r))) for r, t in zip(reductions, totals, strict=True))


def _products(inner: Sequence[int]) -> list[int]:
    """Row-major steps of the inner axes but the last, innermost first."""
    out, step = [], 1
    for n in reversed(inner[1:]):
        step *= n
        out.append(step)
    return out
