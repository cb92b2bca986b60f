"""A loop or branch over small state as one kernel: state in registers, the body straight-line code.

`register_call` writes the loop program of a scan, while or cond whose body is small. What is large, or has a
part that no register can hold, is left to the planner, which runs a body kernel by kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fnn.core.ir import Graph
from fnn.core.lowering import Loop
from fnn.core.source import Source
from fnn.kernels.calls import Call, Value
from fnn.kernels.expansions import weight
from fnn.kernels.loops import Buffer, code_of, computed
from fnn.kernels.register_body import Body, BodyBuilder, Held, Stored, TooLarge

OPERATIONS = 4000  # recorded for a body
INSTRUCTIONS = 12_000  # that they may come to, functions of mathematics written out
STATE = 512  # elements of what is kept over all steps
BRANCH = 256  # operations of branches that stand alone: they run once
NS = 0.3  # per operation


def register_call(
    kind: str,
    params: dict[str, Any],
    inputs: Sequence[Value],
    outputs: Sequence[Value],
    source: Source | None = None,
) -> Call | None:
    """One kernel for an equation that holds graphs; None where the planner should open it."""
    if kind not in ("scan", "while", "cond") or not _suits(kind, params, inputs, outputs):
        return None
    try:
        return _Writer(kind, params, inputs, outputs, source).call()
    except TooLarge:
        return None


def _suits(kind: str, params: dict[str, Any], inputs: Sequence[Value], outputs: Sequence[Value]) -> bool:
    """What can be said from the types alone."""
    if any(computed(code_of(v.dtype)) != code_of(v.dtype) for v in (*inputs, *outputs)):
        return False
    if kind == "scan":
        return params["length"] > 1 and sum(v.size for v in outputs[: params["carry"]]) <= STATE
    return sum(v.size for v in outputs) <= STATE


class _Writer:
    def __init__(
        self,
        kind: str,
        params: dict[str, Any],
        inputs: Sequence[Value],
        outputs: Sequence[Value],
        source: Source | None,
    ):
        self.kind, self.params, self.inputs, self.outputs = kind, params, inputs, outputs
        self.source = source
        self.b = BodyBuilder()
        self.args: list[Value] = []
        self.reads: set[Value] = set()
        self.body = Body(self.b, BRANCH if kind == "cond" else OPERATIONS, self.argument)

    def argument(self, array: np.ndarray) -> Buffer:
        return self.read(Value(array.shape, array.dtype, np.ascontiguousarray(array)))

    def read(self, value: Value) -> Buffer:
        self.args.append(value)
        self.reads.add(value)
        return self.b.argument(code_of(value.dtype))

    def call(self) -> Call:
        b, params, kind = self.b, self.params, self.kind
        held: list[Held | None] = [Stored(self.read(v), 0, v.shape) if used else np.empty(v.shape, object)
                                   for v, used in zip(self.inputs, self.used(), strict=True)]  # fmt: skip
        results = [Stored(b.argument(code_of(v.dtype), output=True), 0, v.shape) for v in self.outputs]
        self.args += self.outputs
        rounds = params.get("length", 1 if kind == "cond" else 16)
        length = b.size(rounds) if kind == "scan" else None
        with b.tiles():
            held = self.loaded(held)
            if kind == "scan":
                carry = params["carry"]
                found = self.body.scan(params, held, length, results[carry:])
            else:
                found = self.body.cond(params, held) if kind == "cond" else self.body.while_(params, held)
            for target, x in zip(results, found, strict=False):
                self.body.store(target, x)
        program = b.program
        operations = weight(program.body)
        if operations > INSTRUCTIONS:
            raise TooLarge
        return Call(
            label=kind,
            key=program.key,
            program=lambda: program,
            args=[(v, 0) for v in self.args],
            reads=self.reads,
            writes=set(self.outputs),
            tiles=1,
            cost=20.0 + NS * rounds * operations,
            sizes=list(program.sizes),
            in_place=self.in_place(),
            sources=() if self.source is None else (self.source,),
            text=f"{kind} in registers, {operations} operations" + (f", {rounds} steps" * (kind == "scan")),
        )

    def used(self) -> list[bool]:
        """Which inputs the kernel reads: the steps of a scan need not look at all of its arrays."""
        if self.kind != "scan":
            return [True] * len(self.inputs)
        graph: Graph = self.params["graph"]
        seen = {a for e in graph.equations for a in e.inputs} | set(graph.outputs)
        first = self.params["consts"]
        return [v in seen or first <= k < first + self.params["carry"] for k, v in enumerate(graph.inputs)]

    def constants(self) -> int:
        """How many of the inputs stay as they are."""
        p = self.params
        return {"scan": p.get("consts", 0), "while": p.get("cond_consts", 0) + p.get("body_consts", 0)}.get(
            self.kind, 0
        )

    def loaded(self, held: Sequence[Held]) -> list[Held]:
        """The constants of a loop in registers, if they are few."""
        count = self.constants()
        if sum(x.size for x in held[:count]) > STATE:
            return list(held)
        return [*[self.body.elements(x) for x in held[:count]], *held[count:]]

    def in_place(self) -> tuple[tuple[Value, Value], ...]:
        """(output, input): a loop reads its start before it writes its end, and a row of what it scans before
        it writes that row."""
        if self.kind == "cond":
            return ()
        count = self.constants()
        carry = self.params.get("carry", len(self.outputs))
        ends = zip(self.outputs[:carry], self.inputs[count : count + carry], strict=True)
        pairs = [*ends, *[(y, x) for y in self.outputs[carry:] for x in self.inputs[count + carry :]]]
        return tuple(
            [
                (new, old)
                for new, old in pairs
                if self.args.count(old) == 1
                and old.const is None
                and (new.size, new.dtype.itemsize) == (old.size, old.dtype.itemsize)
            ]
        )
