"""From calls to steps: every graph inside a program opened, down to plain runs, copies, loops and switches.

`expand` turns a `Lowered` graph into a list of steps. A graph within (call, cond, while, scan) is lowered
once and its steps are written over the values around it: what a body reads from outside is that very value,
so nothing is copied in, and a `call` leaves no trace but its steps. Where a value must come to lie somewhere
(a loop's carry, a slice of a stacked result, a branch's result, an output of the program) there is a `Copy`
or an `Assign`; `fnn.kernels.memory` lets both sides of it share one place wherever that is safe, and then
nothing is copied.

    call     the steps of its graph
    cond     Switch: each branch ends with copies to the same values
    while    Loop: test, then body; its carries are cells, which the body's last step assigns all at once
    scan     Loop of a known number of rounds; what it sees of scanned arrays are slots that move
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from fnn.core.ir import Graph
from fnn.core.source import Source
from fnn.errors import GraphError
from fnn.kernels.calls import Call, ControlCall, Lowered, Value
from fnn.records import field, record

Lower = Callable[[Graph], Lowered]


@record(eq=False)
class Run:
    """One kernel. args: per argument the value and the byte offset at which it starts."""

    call: Call
    args: list[tuple[Value, int]]
    reads: set[Value]
    writes: set[Value]
    in_place: tuple[tuple[Value, Value], ...] = ()
    time: int = -1
    updates: tuple[tuple[Value, Value], ...] = ()


@record(eq=False)
class Copy:
    """target becomes equal to source, byte by byte."""

    target: Value
    source: Value
    origin: Source | None = None
    time: int = -1


@record(eq=False)
class Assign:
    """The end of a loop's body: every cell becomes its next value, all at once.

    The memory plan leaves what is really to be moved, in order: `copies` (target, source), then `swaps` of
    cells and buffers that are reached through pointers."""

    pairs: list[tuple[Value, Value]]
    copies: list[tuple[Value, Value]] = field(default_factory=list)
    swaps: list[tuple[Value, Value]] = field(default_factory=list)
    time: int = -1


@record(eq=False)
class Slot:
    """What one round of a scan sees of an array: value is the slice at row `round` of whole."""

    value: Value
    whole: Value
    written: bool


@record(eq=False)
class Loop:
    """rounds: how often; None: as long as predicate, which test computes, is true."""

    rounds: int | None
    reverse: bool
    cells: list[Value]
    slots: list[Slot]
    test: list[Step]
    predicate: Value | None
    body: list[Step]
    assign: Assign
    source: Source | None = None
    pointers: list[Value] = field(
        default_factory=list
    )  # cells and next values that the memory plan reaches by pointer
    begin: int = -1
    start: int = -1  # of a round
    tested: int = -1
    end: int = -1


@record(eq=False)
class Switch:
    """Exactly one branch runs: the one that index names, clamped."""

    index: Value
    branches: list[list[Step]]
    outputs: list[Value]
    source: Source | None = None
    begin: int = -1
    spans: list[tuple[int, int]] = field(default_factory=list)  # times of each branch
    end: int = -1


Step = Run | Copy | Assign | Loop | Switch
Steps = list[Step]


@record(eq=False)
class Program:
    """A graph as steps. inputs and outputs: one value each, never the same one twice."""

    inputs: list[Value]
    outputs: list[Value]
    shapes: list[tuple[int, ...]]
    steps: Steps


def expand(lowered: Lowered, lower: Lower) -> Program:
    """The steps of a lowered graph and of all graphs in it."""
    expansion = _Expansion(lower)
    steps: Steps = []
    inputs = [_like(v) for v in lowered.inputs]
    found = expansion.graph(lowered, inputs, steps)
    outputs = [_like(v) for v in found]
    steps += [Copy(target, source) for target, source in zip(outputs, found, strict=True)]
    return Program(inputs, outputs, list(lowered.shapes), steps)


def _like(value: Value) -> Value:
    return Value(value.shape, value.dtype)


class _Scope:
    """What the values of one lowered graph are in the program. Lowering may return the same values twice (a
    graph used in two places), so every use of a graph has its own."""

    def __init__(self) -> None:
        self.known: dict[Value, Value] = {}

    def __call__(self, value: Value) -> Value:
        if value.const is not None:
            return value
        found = self.known.get(value)
        if found is None:
            found = self.known[value] = _like(value)
        return found


class _Expansion:
    def __init__(self, lower: Lower):
        self.lower = lower
        self.lowered: dict[Graph, Lowered] = {}

    def inner(self, graph: Graph) -> Lowered:
        found = self.lowered.get(graph)
        if found is None:
            found = self.lowered[graph] = self.lower(graph)
        return found

    def graph(self, lowered: Lowered, inputs: Sequence[Value], steps: Steps) -> list[Value]:
        """Append a graph's steps over the given inputs; its outputs' values."""
        scope = _Scope()
        scope.known.update(zip(lowered.inputs, inputs, strict=True))
        for call in lowered.calls:
            if isinstance(call, ControlCall):
                results = _KINDS[call.kind](self, call, [scope(v) for v in call.inputs], steps)
                scope.known.update(zip(call.outputs, results, strict=True))
            else:
                steps.append(_run(call, scope))
        return [scope(v) for v in lowered.outputs]

    def call(self, call: ControlCall, inputs: list[Value], steps: Steps) -> list[Value]:
        return self.graph(self.inner(call.params["graph"]), inputs, steps)

    def cond(self, call: ControlCall, inputs: list[Value], steps: Steps) -> list[Value]:
        index, *operands = inputs
        graphs = [self.inner(g) for g in call.params["branches"]]
        if len(graphs) == 1:
            return self.graph(graphs[0], operands, steps)
        if index.dtype not in _INDEX_DTYPES or index.size != 1:
            raise GraphError(f"cond chooses its branch by a scalar of bool, int32 or int64, not by {index}")
        outputs = [_like(v) for v in call.outputs]
        branches: list[Steps] = []
        for graph in graphs:
            branch: Steps = []
            found = self.graph(graph, operands, branch)
            branch += [Copy(o, v, call.source) for o, v in zip(outputs, found, strict=True)]
            branches.append(branch)
        steps.append(Switch(index, branches, outputs, call.source))
        return outputs

    def while_(self, call: ControlCall, inputs: list[Value], steps: Steps) -> list[Value]:
        first, second = call.params["cond_consts"], call.params["cond_consts"] + call.params["body_consts"]
        test_consts, body_consts, start = inputs[:first], inputs[first:second], inputs[second:]
        test_graph, body_graph = self.inner(call.params["test"]), self.inner(call.params["body"])
        carry = _carry(body_graph, len(body_consts), start, steps, call.source)
        test: Steps = []
        (predicate,) = self.graph(test_graph, [*test_consts, *carry], test)
        body: Steps = []
        found = self.graph(body_graph, [*body_consts, *carry], body)
        assign = _assign(carry, start, found)
        body.append(assign)
        cells = [cell for cell, _ in assign.pairs]
        steps.append(Loop(None, False, cells, [], test, predicate, body, assign, call.source))
        return carry

    def scan(self, call: ControlCall, inputs: list[Value], steps: Steps) -> list[Value]:
        p = call.params
        consts, start, xs = (
            inputs[: p["consts"]],
            inputs[p["consts"] :][: p["carry"]],
            inputs[p["consts"] + p["carry"] :],
        )
        stacked = [_like(v) for v in call.outputs[p["carry"] :]]
        if p["length"] == 0:
            return [*start, *stacked]
        graph = self.inner(p["graph"])
        carry = _carry(graph, len(consts), start, steps, call.source)
        slices = graph.inputs[p["consts"] + p["carry"] :]
        slots = [Slot(_like(v), x, False) for v, x in zip(slices, xs, strict=True)]
        body: Steps = []
        found = self.graph(graph, [*consts, *carry, *[s.value for s in slots]], body)
        for result, whole in zip(found[p["carry"] :], stacked, strict=True):
            slots.append(Slot(_like(result), whole, True))
            body.append(Copy(slots[-1].value, result, call.source))
        assign = _assign(carry, start, found[: p["carry"]])
        body.append(assign)
        cells = [cell for cell, _ in assign.pairs]
        steps.append(Loop(p["length"], p["reverse"], cells, slots, [], None, body, assign, call.source))
        return [*carry, *stacked]


_INDEX_DTYPES = (np.dtype("bool"), np.dtype("int32"), np.dtype("int64"))
_KINDS = {
    "call": _Expansion.call,
    "cond": _Expansion.cond,
    "while": _Expansion.while_,
    "scan": _Expansion.scan,
}


def _run(call: Call, scope: _Scope) -> Run:
    return Run(
        call,
        [(scope(v), offset) for v, offset in call.args],
        {scope(v) for v in call.reads},
        {scope(v) for v in call.writes},
        tuple([(scope(new), scope(old)) for new, old in call.in_place]),
        updates=tuple([(scope(new), scope(old)) for new, old in call.updates]),
    )


def _carry(body: Lowered, first: int, start: list[Value], steps: Steps, source: Source | None) -> list[Value]:
    """What a body sees of its carry: a cell that starts as a copy, or, if the body hands it on unchanged, the
    start itself."""
    carry = []
    for k, value in enumerate(start):
        if body.outputs[k] is not body.inputs[first + k]:
            cell = _like(body.inputs[first + k])
            steps.append(Copy(cell, value, source))
            value = cell
        carry.append(value)
    return carry


def _assign(carry: list[Value], start: list[Value], found: Iterable[Value]) -> Assign:
    return Assign([(c, n) for c, s, n in zip(carry, start, found, strict=True) if c is not s])


def walk(steps: Iterable[Step]) -> Iterator[Step]:
    """Every step, in order of time, those of loops and branches after the step that holds them."""
    for step in steps:
        yield step
        if isinstance(step, Loop):
            yield from walk(step.test)
            yield from walk(step.body)
        elif isinstance(step, Switch):
            for branch in step.branches:
                yield from walk(branch)
