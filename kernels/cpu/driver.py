"""The driver: runs a program's table with one compiled function; no Python runs between its kernels.

A planner fills a `Table` (`fnn.kernels.cpu.table` says what its numbers mean) and hands it to a `Runner` with
the addresses of its kernels:

    runner = Runner(table, cache.kernels(sources, program_key))
    runner.run(inputs, outputs)                            # two tuples of numpy arrays; outputs are written

`Runner.run` may be entered by any number of Python threads at once: arena, bases and argument lists belong to
the call. One of the running programs has the threads of the pool at a time; the others run their rows
serially. The GIL is free meanwhile. Buffers must not be resized or written by others until `run` returns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fnn.config import config
from fnn.errors import ArgumentError
from fnn.kernels import cache
from fnn.kernels.cpu import driver_text
from fnn.kernels.cpu.buffers import FLAGS, LAYOUT, Slot, aligned, api, flags_of
from fnn.kernels.cpu.driver_text import Head, Status
from fnn.kernels.cpu.pool import POOL, Native
from fnn.kernels.cpu.python_calls import PythonCalls
from fnn.kernels.cpu.table import (
    ADDRESS,
    BASES,
    BODY,
    BRANCH,
    CHUNK,
    COPY,
    COUNT,
    EXTRA,
    FIRST,
    KERNEL,
    KIND,
    LOOP,
    PYTHON,
    ROW,
    SWAP,
    SWITCH,
    TILES,
    WHILE,
    Row,
    Table,
    Words,
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
from fnn.primitives import lapack

if TYPE_CHECKING:
    from fnn.kernels.calls import Foreign

__all__ = [
    "ADDRESS", "BASES", "BODY", "BRANCH", "CHUNK", "COPY", "COUNT", "EXTRA", "FIRST", "KERNEL", "KIND",
    "LOOP", "PYTHON", "ROW", "Row", "SWAP", "SWITCH", "TILES", "WHILE", "Runner", "Slot", "Table", "aligned",
    "bases_row", "branch_row", "copy_row", "kernel_row", "loop_row", "native", "python_row", "swap_row",
    "switch_row", "while_row",
]  # fmt: skip


class Runner:
    """A table with its kernels: a program that can be called.

    Args:
        table: the program.
        addresses: the addresses of the kernels `table.kernels` names, as `cache.kernels` returns them.
        check: whether to check the table first (`Table.check`).
        python: the Python functions that the table's PYTHON rows name.
    """

    def __init__(
        self,
        table: Table,
        addresses: Mapping[str, int],
        check: bool = True,
        python: Mapping[str, Foreign] | None = None,
    ) -> None:
        if check:
            table.check()
        self.table = table
        self._python = PythonCalls(python or {})
        addresses = {**addresses, **self._python.addresses}
        rows = table.rows.copy()
        rows[:, ADDRESS] = [addresses[key] if key else 0 for key in table.kernels]
        self._rows = rows
        self._arguments = int(
            rows[:, COUNT].max(initial=1, where=(rows[:, KIND] == KERNEL) | (rows[:, KIND] == PYTHON))
        )
        self._parallel = bool(
            np.any((rows[:, KIND] == KERNEL) & (rows[:, CHUNK] > 0) & (rows[:, CHUNK] < rows[:, TILES]))
        )
        # Base number -> what fills it once, when a call's memory is made. Constants are kept alive here.
        self._data = {base: np.ascontiguousarray(c) for base, c in table.constants.items()}
        if table.words_base >= 0:
            self._data[table.words_base] = table.words
        self._fixed = {base: a.ctypes.data for base, a in self._data.items()}
        self._fixed.update((base, lapack.address(name)) for base, name in table.symbols.items())
        self._native = native()
        # Without a known layout the driver cannot read Python's tuples: every call goes the slow way.
        self._enter = self._native.enter or (lambda call, inputs, outputs: Status.INPUTS)
        # Calls' memory that no thread is using; popping and pushing are one step each.
        self._free: list[Words] = []
        self._calls: dict[int, tuple[Words, np.ndarray]] = {}

    def run(self, inputs: tuple[np.ndarray, ...], outputs: tuple[np.ndarray, ...]) -> None:
        """Run the program once: reads `inputs`, writes `outputs`.

        Shapes and dtypes are the caller's to check: a wrong one reads or writes foreign memory.  Inputs that
        are not C contiguous, not aligned or of a subclass of ndarray are copied first, which costs time.

        Raises:
            ArgumentError: the number of arrays is wrong, or an output is not a C contiguous, writeable
            ndarray.
            Exception: whatever a Python function that the program calls has raised.
        """
        try:
            call = self._free.pop()
        except IndexError:
            call = self._new_call()
        try:
            if self._parallel and POOL.threads != config.num_threads:
                POOL.fit(self._native, config.num_threads)
            status = self._enter(call, inputs, outputs)
            if status != Status.RAN:
                if status != Status.FAILED:
                    status = self._run_slowly(call, inputs, outputs)
                if status == Status.FAILED:
                    self._python.raise_failure()
        finally:
            self._free.append(call)

    def profile(self, inputs: tuple[np.ndarray, ...], outputs: tuple[np.ndarray, ...]) -> Words:
        """Run the program once; int64 [rows], the nanoseconds spent in each KERNEL row, over all its
        calls."""
        call = self._new_call()
        spent = np.zeros(len(self._rows) + 1, np.int64)
        call[Head.PROFILE] = spent.ctypes.data
        try:
            if self._run_slowly(call, inputs, outputs) == Status.FAILED:
                self._python.raise_failure()
        finally:
            del self._calls[id(call)]
        return spent[:-1]

    @property
    def memory(self) -> int:
        """Bytes held now between calls: arenas and argument lists, one of each for every call that ran at one
        time."""
        return sum(words.nbytes + arena.nbytes for words, arena in self._calls.values())

    def release(self) -> None:
        """Give the memory of calls that are not running back; the next call makes it anew."""
        while self._free:
            self._calls.pop(id(self._free.pop()), None)

    def _new_call(self) -> Words:
        """The memory of one call: head, bases, argument list; and an arena."""
        table, rows = self.table, self._rows
        # The line before and after keeps two threads' calls off one cache line.
        words = aligned(8 * (Head.WORDS + table.bases + self._arguments) + 64).view(np.int64)
        words[:] = 0
        address, arena = words.ctypes.data, aligned(max(table.arena, 64))
        bases = address + 8 * Head.WORDS
        head = {
            Head.ROWS: rows.ctypes.data, Head.COUNT: len(rows), Head.ARGS: table.args.ctypes.data,
            Head.MOVES: table.moves.ctypes.data, Head.BASES: bases, Head.SCRATCH: bases + 8 * table.bases,
            Head.CELL: POOL.cell, Head.ITEMS: LAYOUT.items, Head.SIZE: LAYOUT.size, Head.TYPE: LAYOUT.type,
            Head.DATA: LAYOUT.data, Head.FLAGS: LAYOUT.flags, Head.INPUTS: table.inputs,
            Head.OUTPUTS: table.outputs, Head.FIRST_OUTPUT: table.first_output,
            Head.ARRAY: id(np.ndarray) if LAYOUT.items else 0, **_API,
        }  # fmt: skip
        for word, value in head.items():
            words[word] = value
        words[Head.WORDS] = arena.ctypes.data
        for base, value in self._fixed.items():
            words[Head.WORDS + base] = value
        self._calls[id(words)] = words, arena
        return words

    def _run_slowly(self, call: Words, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> int:
        """Run with addresses from Python, after copying inputs as needed; returns a status."""
        table = self.table
        if any(x is None for x in inputs):
            raise ArgumentError("an input of a program has no memory")
        if len(inputs) != table.inputs or len(outputs) != table.outputs:
            raise ArgumentError(
                f"a program of {table.inputs} inputs and {table.outputs} outputs was given {len(inputs)} "
                f"and {len(outputs)}"
            )
        for i, x in enumerate(outputs):
            if not isinstance(x, np.ndarray) or flags_of(x) != FLAGS:
                raise ArgumentError(
                    f"output {i} of a program must be a C contiguous, aligned, writeable numpy array"
                )
        kept = [np.require(x, requirements=("C", "A")) for x in inputs]
        for first, arrays in ((1, kept), (table.first_output, outputs)):
            for base, x in enumerate(arrays, Head.WORDS + first):
                call[base] = x.ctypes.data
        if self._parallel and POOL.threads != config.num_threads:
            POOL.fit(self._native, config.num_threads)
        return self._native.drive(call.ctypes.data)


# What the driver calls of CPython: to let other threads run, and to make its result.
_API = {
    Head.SAVE: api("PyEval_SaveThread"), Head.RESTORE: api("PyEval_RestoreThread"),
    Head.NUMBER: api("PyLong_FromSsize_t"),
} if LAYOUT.items else {}  # fmt: skip
_native: Native | None = None


def native() -> Native:
    """The driver's and the pool's machine code, compiled (or read from the cache) at the first call."""
    global _native
    if _native is None:
        key, text = driver_text.text()
        _native = Native(cache.kernels({key: lambda: text}, "driver")[key])
    return _native
