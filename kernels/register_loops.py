"""A loop or branch over small state as one kernel: state in registers, the body straight-line code.

`register_call` writes the loop program of a scan, while or cond whose body is small; or whose body does the
same for many elements, each on its own: then the loop runs inside of every vector of elements, whose state
stays in vector registers (see `kernels.register_lanes`). Anything else is left to the planner, which runs
bodies kernel by kernel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fnn.core.aval import Aval
from fnn.core.ir import Equation, Graph, Var, subgraphs
from fnn.core.lowering import IndexMap, Iota, Loop
from fnn.core.source import Source
from fnn.kernels.calls import Call, Value
from fnn.kernels.expansions import weight
from fnn.kernels.loops import Buffer, Operand, code_of, computed
from fnn.kernels.register_body import Body, BodyBuilder, Held, Stored, TooLarge
from fnn.kernels.register_lanes import Lanes, lanes_of
from fnn.kernels.register_memory import updated_in_place
from fnn.records import record

# Scalar operations of a body that take no longer than its kernels one by one, which use vectors but cost
# about 30 ns each beside their work: so many in any case, and so many more for every equation that computes.
SHORT = 1000
EACH = 100
MOST = 6000  # but no more: these take half a second to compile
MOST_OF_LANE = 1500  # operations of a body whose elements are lanes
MANY = 1 << 16  # elements of a row that is better read and written as a whole
STATE = 512  # elements of what is kept over all steps
BRANCH = 256  # operations of branches that stand alone: they run once
NS = 0.1  # per operation, or per vector of them
LANES = 16  # elements from which they are lanes
BLOCK = 64  # lanes of a tile
LIGHT = 250  # operations of a body that several vectors are walked through at a time
UNKNOWN = 16  # rounds a while loop is taken to make


def register_call(
    kind: str,
    params: dict[str, Any],
    inputs: Sequence[Value],
    outputs: Sequence[Value],
    source: Source | None = None,
) -> Call | None:
    """One kernel for an equation that holds graphs; None where the planner should open it."""
    if kind not in ("scan", "while", "cond") or params.get("length", 2) < 2:
        return None
    if any(computed(code_of(v.dtype)) != code_of(v.dtype) for v in (*inputs, *outputs)):
        return None
    whole = signature(kind, params)
    state = whole.outputs[: whole.carry]
    lanes = None if kind == "cond" else lanes_of(kind, params, state, LANES, inputs)
    if lanes is not None and lanes.count > MANY and whole.stacked(lanes):
        return None
    memory = {} if lanes is not None or kind == "cond" else _in_memory(kind, params)
    if lanes is None and sum(a.size for k, a in enumerate(state) if k not in memory) > STATE:
        return None
    try:
        call, operations = _Writer(kind, params, inputs, outputs, source, lanes, 1, memory).call()
    except TooLarge:
        return None
    if lanes is not None and lanes.width > 1 and operations <= LIGHT:
        call, _ = _Writer(kind, params, inputs, outputs, source, lanes, lanes.width, memory).call()
    return call


def _in_memory(kind: str, params: dict[str, Any]) -> dict[int, frozenset[Equation]]:
    """The carries that stay in memory, and the equations that update them."""
    if kind == "scan":
        return updated_in_place(params["graph"], params["consts"], params["carry"])
    return updated_in_place(params["body"], params["body_consts"], len(params["body"].outputs))


@record(frozen=True)
class Signature:
    """What goes in and comes out. consts: how many operands stay as they are; carry: how many results are
    not stacked."""

    inputs: tuple[Aval, ...]
    outputs: tuple[Aval, ...]
    consts: int
    carry: int

    def stacked(self, lanes: Lanes) -> bool:
        """Are there rows of a number per lane?"""
        rows = (*self.inputs[self.consts + self.carry :], *self.outputs[self.carry :])
        return any(lanes.marks(a.shape, True) for a in rows)


def signature(kind: str, params: dict[str, Any]) -> Signature:
    """Of scan, while or cond."""
    if kind == "scan":
        graph, fixed = params["graph"], params["consts"]
        known = fixed + params["carry"]

        def stacked(avals: Sequence[Aval]) -> list[Aval]:
            return [a.update(shape=(params["length"], *a.shape)) for a in avals]

        ins, outs, carry = graph.in_avals, graph.out_avals, params["carry"]
        return Signature(
            (*ins[:known], *stacked(ins[known:])), (*outs[:carry], *stacked(outs[carry:])), fixed, carry
        )
    if kind == "while":
        test, body, first = params["test"], params["body"], params["cond_consts"]
        ins = (*test.in_avals[:first], *body.in_avals)
        return Signature(ins, body.out_avals, first + params["body_consts"], len(body.outputs))
    branch: Graph = params["branches"][0]
    return Signature(
        (Aval((), np.dtype("int32")), *branch.in_avals), branch.out_avals, 0, len(branch.outputs)
    )


def computations(params: dict[str, Any]) -> int:
    """How many equations compute something, in all graphs of an equation and in those within."""
    return sum(
        computations(e.params) + (not isinstance(e.primitive.lower, IndexMap | Iota | Loop))
        for _, graph in subgraphs(params)
        for e in graph.equations
    )


class _Writer:
    """Writes the program of one call."""

    def __init__(
        self,
        kind: str,
        params: dict[str, Any],
        inputs: Sequence[Value],
        outputs: Sequence[Value],
        source: Source | None,
        lanes: Lanes | None,
        width: int,
        memory: dict[int, frozenset[Equation]],
    ):
        self.memory = memory
        self.width = width  # vectors of lanes that are walked at a time
        self.kind, self.inputs, self.outputs, self.source, self.lanes = kind, inputs, outputs, source, lanes
        self.whole = signature(kind, params)
        self.params = params if lanes is None else lanes.params
        self.b = BodyBuilder()
        self.args: list[Value] = []
        self.reads: set[Value] = set()
        if lanes is not None:
            self.body = Body(self.b, MOST_OF_LANE, self.argument, lanes.varying)
        else:
            budget = BRANCH if kind == "cond" else min(MOST, SHORT + EACH * computations(params))
            self.body = Body(self.b, budget, self.argument)
        self.body.updates = frozenset().union(*memory.values())

    def argument(self, array: np.ndarray) -> Buffer:
        return self.read(Value(array.shape, array.dtype, np.ascontiguousarray(array)))

    def read(self, value: Value) -> Buffer:
        self.args.append(value)
        self.reads.add(value)
        return self.b.argument(code_of(value.dtype))

    def call(self) -> tuple[Call, int]:
        """The call, and how many operations its kernel consists of."""
        b, lanes = self.b, self.lanes
        used = self.used()
        ins = [self.read(v) if u else None for v, u in zip(self.inputs, used, strict=True)]
        outs = [b.argument(code_of(v.dtype), output=True) for v in self.outputs]
        self.args += self.outputs
        rounds = self.params.get("length", UNKNOWN if self.kind == "while" else 1)
        length: Operand = b.size(rounds) if self.kind == "scan" else rounds
        if lanes is None:
            tiles, vectors = 1, 1
            with b.tiles():
                self.write(ins, outs, length, 0, 0)
        else:
            tiles, vectors = -(-lanes.count // BLOCK), -(-lanes.count // LANES)
            n = b.size(lanes.count)
            with b.tiles() as t:
                first = t * BLOCK
                with b.lanes(first, b.op("min", first + BLOCK, n), self.width) as i:
                    self.write(ins, outs, length, i, n)
        program = b.program
        operations = weight(program.body.items)
        steps = f", {rounds} steps" if self.kind == "scan" else ""
        where = "in registers" if lanes is None else f"in the registers of {lanes.count} lanes"
        call = Call(
            label=self.kind,
            key=program.key,
            program=lambda: program,
            args=[(v, 0) for v in self.args],
            reads=self.reads,
            writes=set(self.outputs),
            tiles=tiles,
            cost=20.0 + NS * rounds * operations * vectors,
            sizes=list(program.sizes),
            in_place=self.in_place(),
            updates=tuple([(self.outputs[k], self.inputs[self.whole.consts + k]) for k in self.memory]),
            sources=() if self.source is None else (self.source,),
            text=f"{self.kind} {where}, {operations} operations{steps}",
        )
        return call, operations

    def write(
        self, ins: Sequence[Buffer | None], outs: Sequence[Buffer], length: Operand, lane: Operand, n: Operand
    ) -> None:
        """The loop; of one lane out of n, if there are any."""
        whole, body = self.whole, self.body
        scanned = whole.consts + whole.carry if self.kind == "scan" else len(ins)
        held: list[Held] = [
            np.empty(a.shape, object) if buffer is None else self.place(buffer, a, k >= scanned, lane, n)
            for k, (buffer, a) in enumerate(zip(ins, whole.inputs, strict=True))
        ]
        results = [
            self.place(buffer, a, k >= whole.carry, lane, n)
            for k, (buffer, a) in enumerate(zip(outs, whole.outputs, strict=True))
        ]
        for k in self.memory:
            body.store(results[k], held[whole.consts + k])
            held[whole.consts + k] = results[k]
        if sum(x.size for x in held[: whole.consts]) <= STATE:
            held[: whole.consts] = [body.elements(x) for x in held[: whole.consts]]
        if self.kind == "scan":
            found = body.scan(self.params, held, length, results[whole.carry :], self.memory)
        elif self.kind == "while":
            found = body.while_(self.params, held, self.memory)
        else:
            found = body.cond(self.params, held, [Var(a) for a in whole.outputs])
        for k, (target, x) in enumerate(zip(results, found, strict=False)):
            if k not in self.memory:
                body.store(target, x)

    def place(self, buffer: Buffer, aval: Aval, stacked: bool, lane: Operand, n: Operand) -> Stored:
        """Where an array lies; of one that has an element per lane, this lane's part."""
        if self.lanes is None or not self.lanes.marks(aval.shape, stacked):
            return Stored(buffer, 0, aval.shape)
        lead, rest = aval.shape[:stacked], aval.shape[stacked + len(self.lanes.prefix) :]
        size = math.prod(rest)
        return Stored(buffer, lane * size, (*lead, *rest), n * size)

    def used(self) -> list[bool]:
        """Which inputs the kernel reads: the steps of a scan need not look at all of its arrays."""
        if self.kind != "scan":
            return [True] * len(self.inputs)
        graph: Graph = self.params["graph"]
        seen = {a for e in graph.equations for a in e.inputs} | set(graph.outputs)
        carry = range(self.whole.consts, self.whole.consts + self.whole.carry)
        return [v in seen or k in carry for k, v in enumerate(graph.inputs)]

    def in_place(self) -> tuple[tuple[Value, Value], ...]:
        """(output, input): a loop reads its start before it writes its end, and a row of what it scans before
        it writes that row; every lane its own."""
        if self.kind == "cond":
            return ()
        whole, lanes = self.whole, self.lanes
        consts, carry = whole.consts, whole.carry
        pairs = [(k, consts + k) for k in range(carry)]
        pairs += [
            (i, j) for i in range(carry, len(self.outputs)) for j in range(consts + carry, len(self.inputs))
        ]
        out = []
        for i, j in pairs:
            new, old = self.outputs[i], self.inputs[j]
            shapes = whole.outputs[i].shape, whole.inputs[j].shape
            apart = lanes is None or all(lanes.marks(shape, i >= carry) for shape in shapes)
            alike = (new.size, new.dtype.itemsize) == (old.size, old.dtype.itemsize)
            if apart and alike and old.const is None and self.args.count(old) == 1:
                out.append((new, old))
        return tuple(out)
