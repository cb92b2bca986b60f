"""What lowering hands to planning: values in memory, and the calls that fill them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fnn.core.aval import Aval
from fnn.core.source import Source
from fnn.records import field, record

if TYPE_CHECKING:
    from fnn.kernels.loops import Program


class Value:
    """A buffer's worth of numbers, contiguous in row-major order. Compared by identity.

    const: the numbers, where they are known when the program is compiled."""

    __slots__ = ("shape", "dtype", "const", "size")

    def __init__(self, shape: Sequence[int], dtype: np.dtype, const: np.ndarray | None = None):
        self.shape, self.dtype, self.const = tuple(shape), np.dtype(dtype), const
        self.size = math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def __repr__(self) -> str:
        return f"{'const ' if self.const is not None else ''}{self.dtype}[{','.join(map(str, self.shape))}]"


@record(eq=False)
class Foreign:
    """What a call runs that is no kernel: a Python function over arrays of the types given (python: inputs' and
    outputs' types), or machine code from elsewhere, by its address.

    failed: what is to be raised after the program, if something is."""

    python: Callable[..., Any] | None = None
    inputs: tuple[Aval, ...] = ()
    outputs: tuple[Aval, ...] = ()
    address: Callable[[], int] | None = None
    failed: Callable[[], Exception | None] | None = None
    source: Source | None = None


@record(eq=False)
class Call:
    """One run of one kernel: of loops, or of functions of a library.

    key names the kernel by what it does; program() writes its loops, only when no cache knows the key. args:
    per argument of the kernel the value and the byte offset at which it starts. sizes: its run-time sizes.
    tiles: how many independent outer steps it has; unit: they are handed out in multiples of this. cost:
    nanoseconds of one thread, roughly. in_place: (output, input) pairs of values that may share memory if the
    input dies here. A call labelled "copy" with one input and one output only copies: it is left out where
    the two do share memory."""

    label: str
    key: str
    program: Callable[[], Program] | None
    args: list[tuple[Value, int]]
    reads: set[Value]
    writes: set[Value]
    tiles: int
    cost: float
    sizes: list[int] = field(default_factory=list)
    unit: int = 1
    in_place: tuple[tuple[Value, Value], ...] = ()
    updates: tuple[
        tuple[Value, Value], ...
    ] = ()  # of these, those where the kernel copies input to output otherwise
    sources: tuple[Source, ...] = ()
    text: str = ""  # the loop nest or operation in words, for the printed plan
    functions: tuple[str, ...] = ()
    llvm: Callable[[str], str] | None = None
    flops: float | None = None  # arithmetic, where a formula says it; None: counted from the loops
    foreign: Foreign | None = None  # code that is not a kernel's: there is no program then


@record(eq=False)
class ControlCall:
    """One run of an equation that holds graphs: call, cond, while, scan. Operands and results are whole
    values."""

    kind: str
    params: dict[str, Any]
    inputs: list[Value]
    outputs: list[Value]
    source: Source | None = None


AnyCall = Call | ControlCall


@record(eq=False)
class Lowered:
    """A graph as calls in an order that respects their data. An output may also be an input, a constant, or
    be returned twice: the planner copies then. shapes: of the outputs as the graph declares them (a value may
    appear in another shape of equal size)."""

    inputs: list[Value]
    outputs: list[Value]
    shapes: list[tuple[int, ...]]
    calls: list[AnyCall]
    constants: list[Value]
