"""The plan of a program: its steps, where every value lies, and both as the driver's table.

    lowered = lower(graph)
    plan = Plan(lowered, lower, donated=(0,))
    plan.table, plan.kernels         # what the driver runs, and the kernels it needs
    print(plan)                      # every call, its tiles, and what it reads and writes

Nothing here depends on the number of threads: how many tiles are handed out at a time follows from a kernel's
cost alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from fnn.kernels.calls import Call, Foreign, Lowered, Value
from fnn.kernels.control import Assign, Copy, Loop, Lower, Run, Step, Steps, Switch, expand, walk
from fnn.kernels.cpu.table import (
    BODY,
    EXTRA,
    FIRST,
    Row,
    Table,
    bases_row,
    branch_row,
    copy_row,
    kernel_row,
    loop_row,
    python_row,
    swap_row,
    switch_row,
    while_row,
)  # fmt: skip
from fnn.kernels.loops import Program as LoopProgram
from fnn.kernels.memory import Memory, Pointer
from fnn.kernels.sharing import chunk
from fnn.records import record

Address = tuple[int, int]  # base number, byte offset


@record(frozen=True)
class Kernel:
    """A kernel the table needs: its loops, the text of a library routine's wrapper, or code from elsewhere."""

    program: Callable[[], LoopProgram] | None
    text: Callable[[str], str] | None = None  # symbol -> LLVM text
    foreign: Foreign | None = None  # nothing is to be compiled then


class Plan:
    """A lowered graph, ready to run once its kernels are compiled. donated: numbers of inputs that may be
    overwritten.

    table: for the driver. kernels: key -> Kernel. memory: the memory plan. in_place: how many calls overwrite
    an operand. aliases: output number -> input number, where an output lies in a donated input; the table's
    outputs are the others."""

    def __init__(self, lowered: Lowered, lower: Lower, donated: Iterable[int] = ()):
        program = self.program = expand(lowered, lower)
        self.memory = Memory(program, [program.inputs[i] for i in donated])
        self._prune(program.steps)
        runs = [step for step in walk(program.steps) if isinstance(step, Run)]
        self.in_place = sum(any(self.memory.same(new, old) for new, old in run.in_place) for run in runs)
        inputs = {v: i for i, v in enumerate(program.inputs)}
        self.aliases = {
            k: inputs[self.memory.aliases[v]]
            for k, v in enumerate(program.outputs)
            if v in self.memory.aliases
        }
        self.kernels: dict[str, Kernel] = {}
        writer = _Writer(self)
        writer.steps(program.steps)
        self.table = writer.table()

    def _prune(self, steps: Steps) -> None:
        """Leave out what would copy a value onto itself."""
        for step in steps:
            if isinstance(step, Loop):
                self._prune(step.test)
                self._prune(step.body)
            elif isinstance(step, Switch):
                for branch in step.branches:
                    self._prune(branch)
        steps[:] = [step for step in steps if not self._idle(step)]

    def _idle(self, step: Step) -> bool:
        if isinstance(step, Copy):
            return not step.target.nbytes or self.memory.same(step.target, step.source)
        if isinstance(step, Run) and isinstance(step.call, Call) and step.call.label == "copy":
            alone = len(step.reads) == len(step.writes) == 1
            return alone and any(self.memory.same(new, old) for new, old in step.in_place)
        return False

    def record(self) -> dict[str, Any]:
        """What an executable needs besides the table: numbers and lists only, so that it can be stored."""
        storage = self.memory.storage
        overwritten = [
            i for i, v in enumerate(self.program.inputs) if v in storage and len(storage[v].members) > 1
        ]
        return {
            "aliases": list(self.aliases.items()),
            "overwritten": overwritten,
            "without_reuse": self.memory.without_reuse,
            "in_place": self.in_place,
        }

    def __str__(self) -> str:
        from fnn.kernels.plan_text import describe

        return describe(self)  # pyright: ignore[reportArgumentType] -- the two modules import each other


class _Writer:
    """Writes the table of a plan."""

    def __init__(self, plan: Plan):
        self.plan, self.memory = plan, plan.memory
        program = plan.program
        fresh = [v for k, v in enumerate(program.outputs) if k not in plan.aliases]
        self.inputs, self.outputs, self.first_output = (
            len(program.inputs),
            len(fresh),
            1 + len(program.inputs),
        )
        self.words_base = self.first_output + len(fresh)
        self.bases = self.words_base + 1
        self.base: dict[object, int] = {v: 1 + i for i, v in enumerate(program.inputs)}
        self.base.update((v, self.first_output + k) for k, v in enumerate(fresh))
        self.rows: list[Row] = []
        self.keys: list[str] = []
        self.args: list[Address] = []
        self.moves: list[Address] = []
        self.words: list[int] = []
        self.word_places: dict[tuple[int, ...], int] = {}
        self.constants: dict[int, np.ndarray] = {}
        self.constant_bases: dict[int, int] = {}  # id of the array -> base
        self.symbols: dict[str, int] = {}

    def table(self) -> Table:
        return Table(
            rows=np.array(self.rows, np.int64),
            args=np.array(self.args, np.int64),
            kernels=self.keys,
            inputs=self.inputs,
            outputs=self.outputs,
            first_output=self.first_output,
            bases=self.bases,
            arena=self.memory.arena,
            moves=np.array(self.moves, np.int64),
            words=np.array(self.words, np.int64),
            words_base=self.words_base,
            constants=self.constants,
            symbols={base: name for name, base in self.symbols.items()},
        )

    # -- addresses
    def new_base(self) -> int:
        self.bases += 1
        return self.bases - 1

    def address(self, value: Value) -> Address:
        """Where a value starts. Valid inside a loop once the loop's own bases are set."""
        if value.const is not None:
            return self.constant(value), 0
        piece = self.memory.storage.get(value)
        if piece is None:  # an input, a slice of a scanned array, or no bytes at all
            return self.base.get(value, 0), 0
        # Before its loop begins, what a pointer will say lies where the pointer starts.
        if piece.home is None or (isinstance(piece.home, Pointer) and piece.home not in self.base):
            return 0, piece.offset
        return self.base[piece.home], 0

    def constant(self, value: Value) -> int:
        array = value.const
        assert array is not None
        base = self.constant_bases.get(id(array))
        if base is None:
            base = self.constant_bases[id(array)] = self.new_base()
            self.constants[base] = np.require(array, requirements=["C", "A"])
        return base

    def symbol(self, name: str) -> int:
        if name not in self.symbols:
            self.symbols[name] = self.new_base()
        return self.symbols[name]

    def sizes(self, sizes: list[int]) -> Address:
        """Where these words are."""
        key = tuple(sizes)
        at = self.word_places.get(key)
        if at is None:
            at = self.word_places[key] = len(self.words)
            self.words += sizes
        return self.words_base, 8 * at

    # -- rows
    def row(self, row: Row, key: str = "") -> int:
        self.rows.append(row)
        self.keys.append(key)
        return len(self.rows) - 1

    def arguments(self, addresses: Iterable[Address]) -> tuple[int, int]:
        """Store addresses; the number of the first, and how many."""
        first = len(self.args)
        self.args += addresses
        return first, len(self.args) - first

    def copy(self, target: Address, source: Address, nbytes: int) -> None:
        first, _ = self.arguments((target, source))
        self.row(copy_row(first, nbytes))

    def steps(self, steps: Iterable[Step]) -> None:
        for step in steps:
            if isinstance(step, Run):
                self.run(step)
            elif isinstance(step, Copy):
                self.copy(self.address(step.target), self.address(step.source), step.target.nbytes)
            elif isinstance(step, Assign):
                for target, source in step.copies:
                    self.copy(self.address(target), self.address(source), target.nbytes)
                if step.swaps:
                    first = len(self.moves)
                    self.moves += [(self.address(a)[0], self.address(b)[0]) for a, b in step.swaps]
                    self.row(swap_row(first, len(step.swaps)))
            elif isinstance(step, Loop):
                self.loop(step)
            else:
                self.switch(step)

    def run(self, step: Run) -> None:
        addresses = []
        for value, offset in step.args:
            base, at = self.address(value)
            addresses.append((base, at + offset))
        call = step.call
        addresses[:0] = [(self.symbol(name), 0) for name in call.functions]
        self.plan.kernels.setdefault(call.key, Kernel(call.program, call.llvm, call.foreign))
        if call.sizes:
            addresses.append(self.sizes(call.sizes))
        first, count = self.arguments(addresses)
        if call.foreign is not None and call.foreign.python is not None:
            self.row(python_row(first, count), call.key)
            return
        self.row(kernel_row(first, count, call.tiles, chunk(call.cost, call.tiles, call.unit)), call.key)

    def loop(self, loop: Loop) -> None:
        slots = [slot for slot in loop.slots if slot.value.nbytes]
        # Addresses first: one of a constant may take a base of its own, and the loop's bases stand in a row.
        starts = []
        for slot in slots:
            base, at = self.address(slot.whole)
            last = (loop.rounds - 1) * slot.value.nbytes if loop.reverse and loop.rounds else 0
            starts.append((base, at + last))
        starts += [self.address(value) for value in loop.pointers]
        moves = []
        for slot in slots:
            number = self.new_base()
            self.base[slot if slot.written else slot.value] = number
            moves.append((number, -slot.value.nbytes if loop.reverse else slot.value.nbytes))
        for value in loop.pointers:
            self.base[self.memory.storage[value].home] = self.new_base()
        if starts:
            first, count = self.arguments(starts)
            self.row(bases_row(first, count, self.bases - count))
        first = len(self.moves)
        self.moves += moves
        if loop.predicate is None:
            assert loop.rounds is not None
            at = self.row(loop_row(loop.rounds, 0, first, len(moves)))
        else:
            at = self.row(while_row(0, 0, 0))
            self.steps(loop.test)
            self.rows[at][EXTRA] = len(self.rows) - at - 1
            self.rows[at][FIRST], _ = self.arguments([self.address(loop.predicate)])
        self.steps(loop.body)
        self.rows[at][BODY] = len(self.rows) - at - 1

    def switch(self, step: Switch) -> None:
        first, _ = self.arguments([self.address(step.index)])
        at = self.row(switch_row(first, len(step.branches), step.index.dtype.itemsize, 0))
        for branch in step.branches:
            head = self.row(branch_row(0))
            self.steps(branch)
            self.rows[head][BODY] = len(self.rows) - head - 1
        self.rows[at][BODY] = len(self.rows) - at - 1
