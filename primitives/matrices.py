"""Small operations on matrices along the last two axes, from which the derivatives of factorisations are written.

Derivatives are derived with the inner product Re(sum(conj(g) * t)), as papers do; `conjugated` turns such a pullback
into JAX's, whose cotangents pair with tangents as Re(sum(ct * t)).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fnn.core.trace import aval_of, shape_of
from fnn.primitives import arithmetic, comparison, complex_numbers, reductions, structural
from fnn.primitives.contraction import dot_general
from fnn.primitives.rules import moveaxis, of_dtype

INT32 = np.dtype(np.int32)


def is_complex(x: Any) -> bool:
    return aval_of(x).dtype.kind == "c"


def scalar(value: float, x: Any) -> np.ndarray:
    """A number of x's dtype."""
    return np.asarray(value, aval_of(x).dtype)


def conj(x: Any) -> Any:
    return complex_numbers.conj(x) if is_complex(x) else x


def real(x: Any) -> Any:
    return complex_numbers.real(x) if is_complex(x) else x


def matmul(x: Any, y: Any, x_adjoint: bool = False, y_adjoint: bool = False) -> Any:
    """The product of matrices, one or both conjugate-transposed."""
    rank = len(shape_of(x))
    lead = tuple(range(rank - 2))
    contract = (rank - 2 if x_adjoint else rank - 1, rank - 1 if y_adjoint else rank - 2)
    x, y = conj(x) if x_adjoint else x, conj(y) if y_adjoint else y
    return dot_general(x, y, contract=((contract[0],), (contract[1],)), batch=(lead, lead), out_dtype=None)


def matrix_transpose(x: Any) -> Any:
    return moveaxis(x, len(shape_of(x)) - 1, len(shape_of(x)) - 2)


def adjoint(x: Any) -> Any:
    """The conjugate transpose."""
    return conj(matrix_transpose(x))


def where(x: Any, relation: Any, other: Any) -> Any:
    """x where relation(row, column) holds, else `other`."""
    shape = shape_of(x)
    rows, columns = (structural.iota(dtype=INT32, shape=shape, dimension=len(shape) - k) for k in (2, 1))
    return comparison.select(relation(rows, columns), x, other)


def triangle(x: Any, lower: bool, strict: bool = False) -> Any:
    """x with zeros outside of a triangle; strict: and on the diagonal."""
    relation = (
        (comparison.gt if strict else comparison.ge)
        if lower
        else (comparison.lt if strict else comparison.le)
    )
    return where(x, relation, scalar(0.0, x))


def only_diagonal(x: Any) -> Any:
    return where(x, comparison.eq, scalar(0.0, x))


def diagonal(x: Any) -> Any:
    """The diagonals, [..., min(m, n)]."""
    shape = shape_of(x)
    k = min(shape[-2:])
    return reductions.reduce_sum(only_diagonal(cut(x, k, k)), axes=(len(shape) - 1,))


def diagonal_matrix(d: Any) -> Any:
    """Square matrices with these diagonals."""
    n = shape_of(d)[-1]
    return only_diagonal(rows_of(d, n))


def rows_of(d: Any, rows: int) -> Any:
    """[..., n] -> [..., rows, n]: every row is d."""
    shape = shape_of(d)
    lead = len(shape) - 1
    return structural.broadcast(d, shape=(*shape[:-1], rows, shape[-1]), axes=(*range(lead), lead + 1))


def columns_of(d: Any, columns: int) -> Any:
    """[..., n] -> [..., n, columns]: every column is d."""
    shape = shape_of(d)
    return structural.broadcast(d, shape=(*shape, columns), axes=tuple(range(len(shape))))


def identity(x: Any, n: int) -> Any:
    """Identities of order n, over x's leading axes and in its dtype."""
    zero = scalar(0.0, x)
    ones = structural.broadcast(scalar(1.0, x), shape=(*shape_of(x)[:-2], n, n), axes=())
    return where(ones, comparison.eq, zero)


def cut(x: Any, rows: int, columns: int, top: int = 0, left: int = 0) -> Any:
    """A block of the matrices."""
    shape = shape_of(x)
    if shape[-2:] == (rows, columns):
        return x
    lead = len(shape) - 2
    start, limit = (0,) * lead + (top, left), (*shape[:-2], top + rows, left + columns)
    return structural.slice(x, start=start, limit=limit, step=(1,) * len(shape))


def beside(x: Any, y: Any, axis: int) -> Any:
    """Two blocks joined along an axis (-1, -2); what has no elements is left out."""
    parts = [p for p in (x, y) if shape_of(p)[axis]] or [x]
    if len(parts) == 1:
        return parts[0]
    return structural.concatenate(*parts, axis=len(shape_of(x)) + axis)


def hermitian_from_lower(t: Any) -> Any:
    """The symmetric (Hermitian) matrices of which t gives the lower triangles; a diagonal's imaginary part is 0."""
    strict = triangle(t, lower=True, strict=True)
    return arithmetic.add(arithmetic.add(strict, adjoint(strict)), as_complex(real(only_diagonal(t)), t))


def fold_to_lower(s: Any) -> Any:
    """The adjoint of `hermitian_from_lower`: what both triangles carry, put upon the lower one."""
    both = triangle(arithmetic.add(s, adjoint(s)), lower=True, strict=True)
    return arithmetic.add(both, as_complex(real(only_diagonal(s)), s))


def as_complex(x: Any, like: Any) -> Any:
    """x in the dtype of like."""
    return of_dtype(x, aval_of(like).dtype)


def gaps(d: Any) -> Any:
    """[..., i, j] = 1 / (d[j] - d[i]), 0 on the diagonal; infinite where two are equal."""
    n = shape_of(d)[-1]
    return reciprocal_off_diagonal(arithmetic.sub(rows_of(d, n), columns_of(d, n)))


def reciprocal_off_diagonal(x: Any) -> Any:
    """1/x, and 0 on the diagonal."""
    zero, one = scalar(0.0, x), scalar(1.0, x)
    return where(arithmetic.div(one, where(x, comparison.ne, one)), comparison.ne, zero)


def add(*terms: Any) -> Any:
    """The sum of what is not None; None if nothing is."""
    out = None
    for t in terms:
        if t is not None:
            out = t if out is None else arithmetic.add(out, t)
    return out


def conjugated(pull: Callable[..., Sequence[Any]]) -> Callable[..., list[Any]]:
    """A pullback of the inner product Re(sum(conj(g) * t)) as one of Re(sum(ct * t))."""

    def turned(cts: Any) -> list[Any]:
        several = isinstance(cts, (list, tuple))
        given = [None if c is None else conj(c) for c in cts] if several else conj(cts)
        return [None if c is None else conj(c) for c in pull(given)]

    return turned


def waves(shape: tuple[int, ...], phase: float, dtype: Any = np.float32) -> np.ndarray:
    """Numbers between -1 and 1, for samples; NumPy's random numbers would be imported with fnn."""
    return np.sin(7.0 * np.arange(float(np.prod(shape))) ** 1.3 + phase).reshape(shape).astype(dtype)
