"""Matrices and grids: eye, tri, diag, meshgrid, indices and their kin."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from fnn import dtypes
from fnn.core.aval import Aval
from fnn.core.source import describe, here
from fnn.core.trace import aval_of
from fnn.errors import ArgumentError, ShapeError
from fnn.operations.choice import where
from fnn.operations.creation import arange, asarray, checked_sizes, linspace
from fnn.operations.elementwise import BINARY, power
from fnn.operations.operands import array_of, meet, sizes_of, to_dtype, to_shape
from fnn.operations.selection import diagonal
from fnn.operations.shaping import expand_dims, moveaxis, ravel, stack, to
from fnn.primitives import concatenate as concatenate_p
from fnn.primitives import ge, iota, pad, select
from fnn.primitives.rules import zeros as zeros_of

INT32 = np.dtype("int32")


def _below(n: int, m: int, k: int) -> Any:
    """Where column <= row + k in an n by m matrix."""
    k = max(-n, min(k, m))  # what lies beyond is as far: int32 need not hold it
    rows, columns = (iota(dtype=INT32, shape=(n, m), dimension=d) for d in (0, 1))
    return ge(BINARY["add"](rows, k), columns)


def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = None, *, device: Any = None) -> Any:
    """Ones on the k-th diagonal of an N by M matrix (M = N unless told), zeros elsewhere."""
    (n, m), k = checked_sizes("eye", (N, N if M is None else M)), operator.index(k)
    target = dtypes.canonicalize(float if dtype is None else dtype, explicit=True)
    rows, columns = (iota(dtype=INT32, shape=(n, m), dimension=d) for d in (0, 1))
    k = max(-n, min(k, m))
    return to_dtype(BINARY["equal"](BINARY["add"](rows, k), columns), target)


def identity(n: int, dtype: Any = None) -> Any:
    """The n by n identity matrix."""
    return eye(n, dtype=dtype)


def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Any:
    """Ones on and below the k-th diagonal of an N by M matrix, zeros above."""
    n, m = checked_sizes("tri", (N, N if M is None else M))
    return to_dtype(
        _below(n, m, operator.index(k)), dtypes.canonicalize(float if dtype is None else dtype, explicit=True)
    )


def _triangle(name: str, x: Any, k: int, lower: bool) -> Any:
    x = array_of(name, x)
    aval = aval_of(x)
    if aval.ndim < 2:
        raise ShapeError(f"{name}: {aval} is no matrix, at {describe(here())}; it needs at least two axes")
    mask = to_shape(_below(aval.shape[-2], aval.shape[-1], k if lower else k - 1), aval.shape)
    zero = zeros_of(Aval((), aval.dtype))
    return select(mask, x, zero) if lower else select(mask, zero, x)


def tril(m: Any, k: int = 0) -> Any:
    """`m` with zeros above the k-th diagonal of its last two axes."""
    return _triangle("tril", m, k, True)


def triu(m: Any, k: int = 0) -> Any:
    """`m` with zeros below the k-th diagonal of its last two axes."""
    return _triangle("triu", m, k, False)


def diag(v: Any, k: int = 0) -> Any:
    """A matrix with the vector `v` on its k-th diagonal; of a matrix, that diagonal."""
    v = array_of("diag", v)
    rank = aval_of(v).ndim
    if rank == 2:
        return diagonal(v, k)
    if rank != 1:
        raise ShapeError(
            f"diag: {aval_of(v)} is no vector and no matrix, at {describe(here())}; diagonal takes more axes"
        )
    n, off = aval_of(v).shape[0], abs(k)
    zero = zeros_of(Aval((), aval_of(v).dtype))
    size = n + off
    # one row of the flattened matrix is size long, so the next diagonal element is size + 1 further
    flat = pad(v, zero, low=(0,), high=(0,), interior=(size,)) if n else v
    start = k if k >= 0 else off * size
    length = aval_of(flat).size
    flat = pad(flat, zero, low=(start,), high=(size * size - start - length,), interior=(0,))
    return to(flat, (size, size))


def diagflat(v: Any, k: int = 0) -> Any:
    """A matrix with all elements of `v` on its k-th diagonal."""
    return diag(ravel(v), k)


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """The powers of a vector as columns: x**(N-1), ..., x, 1; the other way round if increasing."""
    x = array_of("vander", x)
    n = aval_of(x).size if N is None else N
    orders = range(n) if increasing else reversed(range(n))
    if not n and aval_of(x).ndim == 1:
        return zeros_of(aval_of(x).update(shape=(aval_of(x).size, 0)))
    return stack([power(x, p) for p in orders], 1)


def meshgrid(*xs: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> list[Any]:
    """Coordinates of a grid from the coordinates along each axis; indexing "ij" has the axes in the order given.

    sparse: axes of size 1 where a coordinate does not change."""
    if indexing not in ("xy", "ij"):
        raise ArgumentError(f'meshgrid: indexing is "xy" or "ij", not {indexing!r}, at {describe(here())}')
    arrays = [array_of("meshgrid", x) for x in xs]
    order = list(range(len(arrays)))
    if indexing == "xy" and len(order) > 1:
        order[:2] = [1, 0]
    shape = [0] * len(arrays)
    for place, x in zip(order, arrays):
        shape[place] = aval_of(x).size
    out = []
    for place, x in zip(order, arrays):
        column = to(x, [aval_of(x).size if d == place else 1 for d in range(len(arrays))])
        out.append(column if sparse else to_shape(column, tuple(shape)))
    return out


def indices(dimensions: Any, dtype: Any = None, sparse: bool = False) -> Any:
    """The index of every element of an array of a shape, along a new first axis (a tuple of arrays if sparse)."""
    sizes = sizes_of("indices", dimensions)
    target = dtypes.canonicalize(int if dtype is None else dtype, explicit=True)
    if sparse:
        return tuple(meshgrid(*[arange(n, dtype=target) for n in sizes], indexing="ij", sparse=True))
    rows = [expand_dims(iota(dtype=target, shape=sizes, dimension=d), 0) for d in range(len(sizes))]
    return concatenate_p(*rows, axis=0) if rows else zeros_of(Aval((0,), target))


def logspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    base: Any = 10.0,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """base to the power of num numbers at equal distances from start to stop."""
    out = power(base, linspace(start, stop, num, endpoint, axis=axis))
    return out if dtype is None else to_dtype(out, dtypes.canonicalize(dtype, explicit=True))


def geomspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Any:
    """num numbers from start to stop, which are both positive or both negative, each the same multiple of the one before."""
    from fnn.operations.elementwise import UNARY

    start, stop = meet("geomspace", asarray(start), asarray(stop), mode="inexact")
    negative = (
        False if dtypes.is_complex(aval_of(start).dtype) else BINARY["bitwise_and"](start < 0, stop < 0)
    )
    sign = where(negative, -1, 1).astype(aval_of(start).dtype)
    low, high = UNARY["log"](start * sign), UNARY["log"](stop * sign)
    numbers = UNARY["exp"](linspace(low, high, num, endpoint, axis=0))
    out = moveaxis(numbers * sign, 0, axis)
    return out if dtype is None else to_dtype(out, dtypes.canonicalize(dtype, explicit=True))


def tril_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Any, Any]:
    """The (rows, columns) on and below the k-th diagonal of an n by m matrix."""
    rows, columns = np.tril_indices(n, k, m)
    return asarray(rows), asarray(columns)


def triu_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Any, Any]:
    """The (rows, columns) on and above the k-th diagonal of an n by m matrix."""
    rows, columns = np.triu_indices(n, k, m)
    return asarray(rows), asarray(columns)


def _sides(name: str, x: Any, k: int) -> tuple[int, int, int]:
    shape = aval_of(array_of(name, x)).shape
    if len(shape) != 2:
        raise ShapeError(f"{name}: {aval_of(array_of(name, x))} is no matrix, at {describe(here())}")
    return shape[0], k, shape[1]


def tril_indices_from(arr: Any, k: int = 0) -> tuple[Any, Any]:
    """`tril_indices` of a matrix's shape. Raises ShapeError for other arrays."""
    return tril_indices(*_sides("tril_indices_from", arr, k))


def triu_indices_from(arr: Any, k: int = 0) -> tuple[Any, Any]:
    """`triu_indices` of a matrix's shape. Raises ShapeError for other arrays."""
    return triu_indices(*_sides("triu_indices_from", arr, k))


def diag_indices(n: int, ndim: int = 2) -> tuple[Any, ...]:
    """The indices of the diagonal of an array with ndim axes of size n."""
    return (arange(n),) * ndim


def diag_indices_from(arr: Any) -> tuple[Any, ...]:
    """`diag_indices` of x's shape."""
    return diag_indices(arr.shape[0], arr.ndim)


class _Grid:
    """`mgrid[0:3, 0:2]` and `ogrid[...]`: grids from slices; a step of nj means n points, the last included."""

    def __init__(self, sparse: bool):
        self.sparse = sparse

    def __getitem__(self, key: Any) -> Any:
        parts = key if isinstance(key, tuple) else (key,)
        lines = []
        for s in parts:
            start = 0 if s.start is None else s.start
            if isinstance(s.step, complex):
                lines.append(linspace(start, s.stop, int(abs(s.step))))
            else:
                lines.append(arange(start, s.stop, 1 if s.step is None else s.step))
        if not isinstance(key, tuple):
            return lines[0]
        grids = meshgrid(*lines, indexing="ij", sparse=self.sparse)
        return grids if self.sparse else stack(grids)


mgrid, ogrid = _Grid(False), _Grid(True)


def fromfunction(function: Any, shape: Any, *, dtype: Any = float, **kwargs: Any) -> Any:
    """function of the index arrays of a shape."""
    grids = indices(shape, dtype)
    return function(*grids, **kwargs)


def select_by(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """For each element the choice of the first condition that holds, or the default."""
    if len(condlist) != len(choicelist) or not condlist:
        raise ArgumentError(
            f"select: {len(condlist)} conditions and {len(choicelist)} choices, at {describe(here())}; they must "
            "be equally many, at least one"
        )
    out = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist)):
        out = where(condition, choice, out)
    return out
