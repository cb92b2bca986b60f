"""A plan in words: every call, indented as loops and branches nest, with its kernel, tiles, operands and
source lines."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from fnn import dtypes
from fnn.core.source import Source, short
from fnn.kernels.calls import Value
from fnn.kernels.control import Assign, Copy, Loop, Run, Slot, Step, Switch
from fnn.kernels.memory import Pointer, Storage
from fnn.kernels.plan import Plan
from fnn.kernels.sharing import chunk

LEGEND = """#number operations  kernel name  tiles by how many are handed out at once  estimated time  (lines)
    operands -> results, each type[shape]@where it lies
    | the loops of a kernel, at its first call; r: computed once for the innermost axes"""


def describe(plan: Plan) -> str:
    """The text of a plan. A value is written as its type and where it lies: `f32[64,32]@arena+128`; @input,
    @output and @constant are those of the program, @slice the part of an array that a round of a scan works
    on, @carry a carry that is handed on by pointer. A call's number is that of `Cost` and `Profile`."""
    return "\n".join(_Text(plan).lines())


class _Text:
    def __init__(self, plan: Plan):
        self.plan, self.memory = plan, plan.memory
        program = plan.program
        self.names: dict[object, str] = {v: f"input{i}" for i, v in enumerate(program.inputs)}
        self.names.update((v, f"output{k}") for k, v in enumerate(program.outputs))
        self.constants: dict[int, int] = {}
        self.pointers: dict[Storage, str] = {}
        self.count = 0
        self.first: dict[str, int] = {}  # kernel -> number of its first call

    def lines(self) -> Iterator[str]:
        table, memory = self.plan.table, self.memory
        calls = sum(1 for k in table.kernels if k)
        yield f"{calls} calls of {len(self.plan.kernels)} kernels, {len(table.rows)} rows"
        yield LEGEND
        yield from self.steps(self.plan.program.steps)
        for output, given in self.plan.aliases.items():
            yield f"output{output} lies in the memory of input{given}"
        reuse = f"{memory.without_reuse} without reuse"
        yield f"arena {memory.arena} bytes, {reuse}; {self.plan.in_place} calls in place"

    def name(self, value: Value) -> str:
        kind = f"{dtypes.short_name(value.dtype)}[{','.join(map(str, value.shape))}]"
        return f"{kind}@{self.place(value)}"

    def place(self, value: Value) -> str:
        if value.const is not None:
            return f"constant{self.constants.setdefault(id(value.const), len(self.constants))}"
        piece = self.memory.storage.get(value)
        if piece is None:
            return self.names.get(value, "slice" if value.nbytes else "nothing")
        if isinstance(piece.home, Pointer):
            return self.pointers.setdefault(piece, f"carry{len(self.pointers)}")
        if isinstance(piece.home, Slot):
            return f"slice of {self.place(piece.home.whole)}"
        return f"arena+{piece.offset}" if piece.home is None else self.names[piece.home]

    def steps(self, steps: Iterable[Step], depth: int = 1) -> Iterator[str]:
        pad = "  " * depth
        for step in steps:
            if isinstance(step, Run):
                yield from self.run(step, pad)
            elif isinstance(step, Copy):
                names = f"{self.name(step.source)} -> {self.name(step.target)}"
                yield f"{pad}copy {names}{_where((step.origin,))}"
            elif isinstance(step, Assign):
                for target, source in step.copies:
                    if target.nbytes:
                        yield f"{pad}copy {self.name(source)} -> {self.name(target)}"
                for a, b in step.swaps:
                    yield f"{pad}exchange {self.place(a)} and {self.place(b)}"
            elif isinstance(step, Switch):
                yield f"{pad}switch {self.name(step.index)}{_where((step.source,))}"
                for k, branch in enumerate(step.branches):
                    yield f"{pad}branch {k}"
                    yield from self.steps(branch, depth + 1)
            else:
                yield from self.loop(step, depth)

    def loop(self, loop: Loop, depth: int) -> Iterator[str]:
        pad = "  " * depth
        if loop.predicate is None:
            yield f"{pad}{loop.rounds} rounds{', last first' if loop.reverse else ''}{_where((loop.source,))}"
        else:
            yield f"{pad}while{_where((loop.source,))}"
            yield from self.steps(loop.test, depth + 2)
            yield f"{pad}  {self.name(loop.predicate)}"
        for slot in loop.slots:
            if slot.value.nbytes and not slot.written:
                yield f"{pad}  slice {self.name(slot.value)} of {self.name(slot.whole)}"
        yield from self.steps(loop.body, depth + 1)

    def run(self, step: Run, pad: str) -> Iterator[str]:
        call = step.call
        reads = ", ".join(self.name(v) for v in dict.fromkeys(v for v, _ in step.args if v in step.reads))
        writes = ", ".join(self.name(v) for v in dict.fromkeys(v for v, _ in step.args if v in step.writes))
        shared = chunk(call.cost, call.tiles, call.unit) or call.tiles
        self.count += 1
        first = self.first.setdefault(call.key, self.count)
        about = f"tiles {call.tiles} by {shared}  ~{call.cost / 1e3:.1f} us"
        yield f"{pad}#{self.count} {call.label}  kernel {call.key}  {about}{_where(call.sources)}"
        yield f"{pad}    {reads or 'nothing'} -> {writes or 'nothing'}"
        text = call.text
        if "\n" in text and first != self.count:
            text = f"{text.splitlines()[0]}, as #{first}"
        if text:
            yield textwrap.indent(text, pad + "    | ")


def _where(sources: Iterable[Source | None]) -> str:
    places = dict.fromkeys(short(s) for s in sources if s is not None)
    return f"  ({', '.join(places)})" if places else ""
