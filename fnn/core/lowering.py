"""The few ways in which a primitive becomes loops.

A primitive declares one of these; `fnn.kernels` reads the declaration. Nothing here knows any machine: a rule
that writes code does so through the builder `b` it is handed (`fnn.kernels.loops.Builder`), so processors of
every kind share it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from fnn.records import record


@record(frozen=True)
class Elementwise:
    """One scalar expression per element: expr(b, *operands, **params) -> value.

    Operands arrive as loop values of one type (weak scalars converted to it); a bool predicate of `select`
    stays bool. bfloat16 and float16 arrive as float32 and the result is rounded when stored. The result
    must have the output's element type (for bfloat16 and float16: float32)."""

    expr: Callable[..., Any]


@record(frozen=True)
class IndexMap:
    """Moves no data by itself. kind: reshape, transpose, broadcast, slice, rev, pad, concatenate,
    identity."""

    kind: str


@record(frozen=True)
class Iota:
    """Values that follow from the position alone: index along params["dimension"], cast to the output's
    type."""


@record(frozen=True)
class Reduction:
    """Elements along params["axes"] combined: add, mul, max, min, and, or, xor; max and min propagate NaN."""

    combine: str


@record(frozen=True)
class Contraction:
    """dot_general: params contract=((lhs...), (rhs...)), batch=((lhs...), (rhs...)), result (batch, lhs
    free, rhs free)."""


@record(frozen=True)
class Decompose:
    """Written with other primitives: fn(*args, **params) -> out (a list where the primitive has several
    outputs). Expanded by a pass before planning, so the parts fuse like anything else."""

    fn: Callable[..., Any]


@record(frozen=True)
class Kernel:
    """A loop program of its own: write(b, inputs, outputs, params).

    inputs and outputs are `Operand`s: `.buffer` (a loops.Buffer), `.shape` (static tuple of int), `.dtype`
    (element code), `.strides`; all are contiguous, row-major, but for the inputs numbered in `strided`, of
    which only the last axis is sure to be contiguous. write opens `with b.tiles() as t:` itself; tiles(in_avals,
    out_avals, params) -> int says how many independent tiles there are (they may run on several threads in
    any order, so results must not depend on it). cost(in_avals, out_avals, params) -> nanoseconds of one
    thread, roughly; None: from the sizes. clear: outputs that must be filled with zeros before any tile runs
    (by index). in_place: {output: input} pairs where the output starts as a copy of the input (the planner
    makes the copy, or none if the input dies here).

    workspace(in_avals, out_avals, params) -> [(element code, length), ...]: scratch arrays, uninitialised,
    that live as long as the call. They follow the outputs: as further arguments of the kernel (declared
    like outputs) and as further `Operand`s of shape (length,) at the end of `outputs`. The tiles of a
    kernel use disjoint parts of them."""

    write: Callable[..., None]
    tiles: Callable[..., int]
    cost: Callable[..., float] | None = None
    in_place: tuple[tuple[int, int], ...] = ()
    workspace: Callable[..., list[tuple[str, int]]] | None = None
    strided: tuple[int, ...] = ()


@record(frozen=True)
class Library:
    """Functions of BLAS and LAPACK on each matrix of a batch: write(routine, in_avals, out_avals, params) describes
    what is done with one (`fnn.primitives.lapack.Routine`).

    columns_in, columns_out: operands and results, by number, whose matrices the routine wants stored by columns; a
    transposed view serves, so often nothing is moved. rank: how many axes of the first operand are its matrix's."""

    write: Callable[..., None]
    columns_in: tuple[int, ...] = ()
    columns_out: tuple[int, ...] = ()
    rank: int = 2

    def tiles(self, in_avals: Sequence[Any]) -> int:
        """How many matrices there are."""
        shape = in_avals[0].shape
        return math.prod(shape[: len(shape) - self.rank])


@record(frozen=True)
class Loop:
    """Holds graphs. kind: call (params["graph"]), cond (params["branches"]), while, scan."""

    kind: str


@record(frozen=True)
class PythonCall:
    """A call back into Python: function(params) -> f(*arrays) -> a sequence of arrays, one per output. The program
    waits for it, holding the interpreter's lock only meanwhile; what it raises ends the program."""

    function: Callable[[dict[str, Any]], Callable[..., Any]]


@record(frozen=True)
class NativeCall:
    """A call of machine code that was made elsewhere: compile(in_avals, out_avals, params) -> its address (a C
    function (ptr arguments, i64 lo, i64 hi), as kernels are; arguments: the inputs, the outputs, in C order).
    tiles and cost as of a Kernel. failed(params) -> an exception to raise after the program, or None."""

    compile: Callable[..., int]
    tiles: Callable[..., int]
    cost: Callable[..., float]
    failed: Callable[[dict[str, Any]], Exception | None]


Lowering = (
    PythonCall
    | NativeCall
    | Elementwise
    | IndexMap
    | Iota
    | Reduction
    | Contraction
    | Decompose
    | Kernel
    | Library
    | Loop
)
