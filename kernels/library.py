"""Calls of library routines: which function, on which tiles, with which sizes."""

from __future__ import annotations

import math
from collections.abc import Callable

from fnn.errors import UnsupportedError
from fnn.kernels.calls import LibraryCall, Value
from fnn.kernels.cpu import library_calls
from fnn.records import record

# The order of matrices from which OpenBLAS may use threads of its own.
LARGEST = 128


@record(frozen=True)
class Routine:
    """function: the BLAS or LAPACK function passed as argument 0; then come the call's inputs, its outputs
    and `sizes`. text(symbol) writes the kernel. cost: nanoseconds of one thread. flops: arithmetic, as LAPACK
    counts it."""

    key: str
    function: str
    text: Callable[[str], str]
    order: int
    tiles: int
    sizes: list[int]
    cost: float
    flops: float
    in_place: tuple[tuple[Value, Value], ...]

    @property
    def shared_cost(self) -> float:
        """The part of the cost that our threads may share: OpenBLAS has its own for large matrices."""
        return self.cost if self.order <= LARGEST else 0.0


def routine(call: LibraryCall) -> Routine:
    """How to run a library call.

    Raises:
        UnsupportedError: there is no such routine, or not for these dtypes."""
    if call.name not in _ROUTINES:
        raise UnsupportedError(f"there is no library routine {call.name!r}; there are {', '.join(_ROUTINES)}")
    return _ROUTINES[call.name](call)


def _cost(flops: float, batch: int) -> float:
    """Nanoseconds, roughly."""
    return flops / 5 + 500 * batch


def _cholesky(call: LibraryCall) -> Routine:
    (a,), (factor,) = call.inputs, call.outputs
    (shape,) = call.shapes
    n, batch, dtype = shape[-1], math.prod(shape[:-2]), a.dtype.name
    flops = batch * n**3 / 3
    return Routine(
        key=f"cholesky_{dtype}",
        function=library_calls.cholesky_function(dtype),
        text=lambda symbol: library_calls.cholesky_text(symbol, dtype),
        order=n,
        tiles=batch,
        sizes=[n],
        cost=_cost(flops, batch),
        flops=flops,
        in_place=((factor, a),),
    )


def _triangular_solve(call: LibraryCall) -> Routine:
    (a, b), (x,) = call.inputs, call.outputs
    flags = {name: bool(call.params[name]) for name in ("left_side", "lower", "transpose_a", "unit_diagonal")}
    triangle, shape = call.shapes
    (rows, columns), batch, dtype = shape[-2:], math.prod(shape[:-2]), b.dtype.name
    n = triangle[-1]
    flops = batch * rows * columns * n
    key = f"triangular_solve_{dtype}_" + "".join("01"[v] for v in flags.values())
    return Routine(
        key=key,
        function=library_calls.triangular_solve_function(dtype),
        text=lambda symbol: library_calls.triangular_solve_text(symbol, dtype, **flags),
        order=n,
        tiles=batch,
        sizes=[rows, columns, 0 if a.size == n * n else n * n, rows * columns],
        cost=_cost(flops, batch),
        flops=flops,
        in_place=((x, b),),
    )


_ROUTINES = {"cholesky": _cholesky, "triangular_solve": _triangular_solve}
