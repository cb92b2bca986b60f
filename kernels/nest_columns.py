"""Reductions whose lanes lie along the axis that stays: of columns, and of very short rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from fnn.kernels.loops import INDEX, Buffer, Operand, Value
from fnn.kernels.nest import WIDEST, node_args
from fnn.kernels.nest_writer import Memo, Writer, closure
from fnn.kernels.totals import added, keeps_rest, total_of


class Columns(Writer):
    """The program of a nest of kind "col", or of rows that lanes walk side by side."""

    def side_by_side(self) -> None:
        """A lane takes a row, and its few elements one after the other."""
        nest, b = self.nest, self.b
        with b.tiles() as tile:
            rows, top, rest = self.rows_of(tile, nest.band)
            with b.lanes(0, rows) as r:
                self.start(rest, [top + r])
                memos: list[Memo] = [{} for _ in range(nest.width)]  # per element of the row
                for i, n in enumerate(nest.nodes):
                    if nest.full[i]:
                        for column, memo in enumerate(memos):
                            memo[i] = self.node(i, memo, [column])
                        continue
                    if n[0] == "reduce":
                        total, *others = [self.part(i, memo) for memo in memos]
                        for x in others:
                            total = b.op(n[2], total, x)
                        value = b.cast(total, self.code(i))
                    else:
                        value = self.node(i, memos[0], [0])
                    for memo in memos:
                        memo[i] = value
                for n, a in nest.stores:
                    for column, memo in enumerate(memos if nest.wide(a) else memos[:1]):
                        self.store(n, a, memo, [column])

    def col(self) -> None:
        """One tile is a panel of the last axis and a run of the first reduced one; lanes lie along the
        panel."""
        nest, b = self.nest, self.b
        axes = self.inner[:-1]
        width = b.as_value(self.inner[-1], INDEX)
        with b.tiles() as tile:
            panels = (width + (self.panel - 1)) // self.panel
            lo = (tile % panels) * self.panel
            hi = b.op("min", lo + self.panel, width)
            rest, part, first, stop = tile // panels, b.const(0, INDEX), b.const(0, INDEX), axes[0]
            if nest.parts > 1:
                part, rest = rest % self.parts, rest // self.parts
                first = part * self.run
                stop = b.op("min", first + self.run, axes[0])
            self.start(rest)
            self.uniforms: Memo = {}
            self.uniform(self.uniforms, [0] * len(nest.nodes), 0)
            more = part * width if nest.parts > 1 else 0
            bounds: list[tuple[Operand, Operand]] = [(first, stop), *((0, n) for n in axes[1:])]
            if nest.in_rows:
                self.col_in_rows(lo, hi, bounds, more)
                return
            with b.lanes(lo, hi, self.col_lanes) as j:
                if nest.column_block:
                    totals = self.totals(self.reductions)
                    with self.blocks(bounds) as (before, inside):
                        for total, value in zip(totals, self.add_up(j, before, inside), strict=True):
                            total.add(value)
                    self.col_results(j, [total.value for total in totals], more)
                else:
                    self.col_results(j, self.add_up(j, [], bounds), more)

    @property
    def col_lanes(self) -> int:
        count = len(self.nest.nodes)
        return 4 if count <= 12 else 2 if count <= 30 else 1

    def col_in_rows(
        self, lo: Value, hi: Value, bounds: Sequence[tuple[Operand, Operand]], more: Operand
    ) -> None:
        """A block of rows after the other, each from one end of the panel to the other, as memory has it."""
        nest, b = self.nest, self.b
        room: list[list[Buffer]] = []
        for r in self.reductions:
            code = self.gathered_as(r)
            room.append([b.local(code, WIDEST) for _ in range(1 + keeps_rest(nest.nodes[r][2], code))])
        with b.lanes(lo, hi) as j:
            for r, (high, *low) in zip(self.reductions, room, strict=True):
                b.store(high, j - lo, self.identity(r))
                for buffer in low:
                    b.store(buffer, j - lo, 0.0)
        with self.blocks(bounds) as (before, inside), b.lanes(lo, hi, self.col_lanes) as j:
            for r, buffers, value in zip(self.reductions, room, self.add_up(j, before, inside), strict=True):
                state = added(b, nest.nodes[r][2], [b.load(x, j - lo) for x in buffers], value)
                for buffer, x in zip(buffers, state, strict=True):
                    b.store(buffer, j - lo, x)
        with b.lanes(lo, hi) as j:
            self.col_results(j, [total_of(b, [b.load(x, j - lo) for x in buffers]) for buffers in room], more)

    def add_up(
        self, j: Value, before: Sequence[Value], bounds: Sequence[tuple[Operand, Operand]]
    ) -> list[Value]:
        """The sums of the elements within these bounds; what is stored at every point is."""
        nest, b = self.nest, self.b
        points = [(n, a) for n, a in nest.stores if n not in self.reductions]
        memo = dict(self.uniforms)
        column = [i for i in range(len(nest.nodes)) if self.in_column(i) and nest.full[i]]
        self.compute(column, memo, [*[0] * (len(self.inner) - 1), j])
        wanted = closure(
            nest, [n for n, _ in points] + [nest.nodes[r][3] for r in self.reductions], memo.__contains__
        )
        sums = [b.variable(self.gathered_as(r), self.identity(r)) for r in self.reductions]
        with ExitStack() as stack:
            outer = [*before, *(stack.enter_context(b.loop(lo, hi)) for lo, hi in bounds)]
            here = dict(memo)
            self.compute(wanted, here, [*outer, j])
            for n, a in points:
                self.store(n, a, here, [*outer, j])
            for r, total in zip(self.reductions, sums, strict=True):
                total.set(b.op(nest.nodes[r][2], total.value, self.part(r, here)))
        return [s.value for s in sums]

    def col_results(self, j: Value, results: Sequence[Value], more: Operand) -> None:
        memo: Memo = dict(zip(self.reductions, results, strict=True))
        for n, a in self.nest.stores:
            if n in self.reductions:
                self.store(n, a, memo, [*[0] * (len(self.inner) - 1), j], more)

    @contextmanager
    def blocks(
        self, bounds: Sequence[tuple[Operand, Operand]]
    ) -> Iterator[tuple[list[Value], list[tuple[Operand, Operand]]]]:
        """The loops over blocks of the reduced axes; the indices so far, and the bounds that are left."""
        assert self.nest.column_block is not None
        axis, step = self.nest.column_block
        with ExitStack() as stack:
            before = [stack.enter_context(self.b.loop(lo, hi)) for lo, hi in bounds[:axis]]
            lo, hi = bounds[axis]
            k = stack.enter_context(self.b.loop(lo, hi, step))
            yield before, [(k, self.b.op("min", k + step, hi)), *bounds[axis + 1 :]]

    def in_column(self, i: int) -> bool:
        """Is a node of a column nest the same at every step of the reduced axes?"""
        if not hasattr(self, "_column"):
            self._column: list[bool] = []
            for n in self.nest.nodes:
                if n[0] in ("load", "index"):
                    self._column.append(not any(self.nest.accesses[n[2]].inner[:-1]))
                else:
                    self._column.append(n[0] != "reduce" and all(self._column[a] for a in node_args(n)))
        return self._column[i]
