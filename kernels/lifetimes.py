"""When each value is needed: the steps of a program numbered in time, and per value the spans in which it
holds something.

A span (a, b) says: written at time a, read for the last time at b. Within a loop a cell has a hole between
its last read of a round and the assignment at the round's end, and a value that the branches of a switch
treat differently has a span for each branch, so that memory is shared in every place where no run of the
program can tell.
"""

from __future__ import annotations

from collections.abc import Iterable

from fnn.errors import GraphError
from fnn.kernels.calls import Value
from fnn.kernels.control import Assign, Copy, Loop, Program, Run, Step, Steps, Switch

Span = tuple[int, int]


def number(steps: Iterable[Step], time: int = 1) -> int:
    """Give every step its time; the first free one."""
    for step in steps:
        if isinstance(step, Loop):
            step.begin, step.start = time, time + 1
            step.tested = number(step.test, time + 2)
            step.end = number(step.body, step.tested + 1)
            time = step.end
        elif isinstance(step, Switch):
            step.begin, step.spans = time, []
            for branch in step.branches:
                after = number(branch, time + 2)
                step.spans.append((time + 1, after))
                time = after
            step.end = time = time + 1
        else:
            step.time = time
        time += 1
    return time


def reads_and_writes(step: Step) -> tuple[set[Value], set[Value]]:
    """What a step with everything in it reads from outside, and what it defines."""
    if isinstance(step, Run):
        return step.reads, step.writes
    if isinstance(step, Copy):
        return {step.source}, {step.target}
    if isinstance(step, Assign):
        return {new for _, new in step.pairs}, {cell for cell, _ in step.pairs}
    reads: set[Value] = set()
    writes: set[Value] = set()
    inner: list[Steps]
    if isinstance(step, Switch):
        inner = step.branches
        reads.add(step.index)
    else:
        inner = [step.test, step.body]
        if step.predicate is not None:
            reads.add(step.predicate)
        reads.update(s.whole for s in step.slots if not s.written)
        writes.update(s.whole for s in step.slots if s.written)
        writes.update(s.value for s in step.slots)
    for steps in inner:
        for each in steps:
            more, defined = reads_and_writes(each)
            reads |= more
            writes |= defined
    if isinstance(step, Loop):
        return reads - (writes - set(step.cells)), writes  # a cell is read before its first assignment
    return reads - writes, writes


class Lifetimes:
    """The spans of every value that is written while the program runs, or may be (donated inputs).

    Constants, other inputs and slices of scanned arrays are not here: they are always there, and nobody
    writes them."""

    def __init__(self, program: Program, donated: Iterable[Value] = ()):
        self.spans: dict[Value, list[Span]] = {}
        self.first: dict[Value, int] = {}  # time at which a value is first written
        self.last: dict[Value, int] = {}  # time at which a value is last written
        self.end = number(program.steps)
        donated = list(donated)
        self._fixed = {v for v in program.inputs if v not in donated}
        self._held: set[Value] = set()
        self._scan(program.steps)
        live = dict.fromkeys(program.outputs, self.end)
        self._backwards(program.steps, live)
        for value in donated:
            self._define(value, 0, live)
        unwritten = [v for v in live if v.nbytes]
        if unwritten:
            raise GraphError(f"{unwritten[0]!r} is read before anything is written to it")

    def _scan(self, steps: Steps) -> None:
        """When values are written; which of them from outside each loop needs for all its rounds."""
        for step in steps:
            if isinstance(step, Loop):
                self._fixed.update(s.value for s in step.slots if not s.written)
                for slot in step.slots:
                    if slot.written:
                        self._written(slot.whole, step.begin)
                self._scan(step.test)
                self._scan(step.body)
            elif isinstance(step, Switch):
                for branch in step.branches:
                    self._scan(branch)
            else:
                for value in reads_and_writes(step)[1]:
                    self._written(value, step.time)

    def _written(self, value: Value, time: int) -> None:
        self.first.setdefault(value, time)
        self.last[value] = time

    def tracked(self, value: Value) -> bool:
        """Whether the value has a place to be chosen."""
        return value.const is None and value.nbytes > 0 and value not in self._fixed

    # -- backwards through the program; live: value -> time of its last use
    def _use(self, value: Value, time: int, live: dict[Value, int]) -> None:
        if self.tracked(value) and value not in self._held:
            live.setdefault(value, time)

    def _define(self, value: Value, time: int, live: dict[Value, int]) -> None:
        if self.tracked(value):
            self.spans.setdefault(value, []).append((time, live.pop(value, time)))

    def _backwards(self, steps: Steps, live: dict[Value, int]) -> None:
        for step in reversed(steps):
            if isinstance(step, Loop):
                self._loop(step, live)
            elif isinstance(step, Switch):
                self._switch(step, live)
            elif isinstance(step, Assign):
                for cell, _ in step.pairs:
                    self._define(cell, step.time, live)
                for _, value in step.pairs:
                    self._use(value, step.time, live)
            elif isinstance(step, Copy):
                self._define(step.target, step.time, live)
                self._use(step.source, step.time, live)
            else:
                begun = {v for v in step.writes if self.first[v] == step.time}
                for value in begun:
                    self._define(value, step.time, live)
                for value in (step.reads | step.writes) - begun:
                    self._use(value, step.time, live)

    def _switch(self, step: Switch, live: dict[Value, int]) -> None:
        reads, writes = reads_and_writes(step)
        crossing = {v for v in reads | writes if v in live}
        for value in crossing:
            self.spans.setdefault(value, []).append((step.end, live.pop(value)))
        needed: set[Value] = set()
        for branch, (start, end) in zip(step.branches, step.spans, strict=True):
            inside = dict.fromkeys(crossing, end)
            self._backwards(branch, inside)
            for value, last in inside.items():
                self.spans.setdefault(value, []).append((start, last))
            needed |= set(inside)
        for value in needed:
            live[value] = step.begin
        self._use(step.index, step.begin, live)

    def _loop(self, step: Loop, live: dict[Value, int]) -> None:
        reads, _ = reads_and_writes(step)
        cells = set(step.cells)
        outside = {v for v in reads - cells if self.tracked(v) and v not in self._held}
        wholes = {s.whole for s in step.slots if s.written and self.tracked(s.whole)}
        for value in outside | wholes:
            live.setdefault(value, step.end)
        for cell in step.cells:
            if cell in live:
                self.spans.setdefault(cell, []).append((step.end, live.pop(cell)))
        self._held |= outside
        inside = {v: step.end for v in cells if self.tracked(v)}
        for slot in step.slots:
            if slot.written and self.tracked(slot.value):
                inside[slot.value] = step.end
        self._backwards(step.body, inside)
        if step.predicate is not None:
            # The loop may end here: what the cells hold is its result.
            for value, last in inside.items():
                self.spans.setdefault(value, []).append((step.tested, last))
            inside = {v: step.tested for v in {*inside, *cells} if self.tracked(v)}
            self._use(step.predicate, step.tested, inside)
            self._backwards(step.test, inside)
        for value, last in inside.items():
            if value not in cells:
                raise GraphError(f"{value!r} is read in a loop before anything is written to it")
            self.spans.setdefault(value, []).append((step.start, last))
        self._held -= outside
        for value in wholes:
            self._define(value, step.begin, live)
        for cell in step.cells:
            if self.tracked(cell):
                live[cell] = step.begin
