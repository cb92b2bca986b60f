"""fnn.numpy.linalg: norms, Cholesky factors, and products."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from fnn import dtypes
from fnn import primitives as P
from fnn.core.source import describe, here
from fnn.core.trace import aval_of
from fnn.errors import ArgumentError, ShapeError, UnsupportedError
from fnn.numpy.linear import cross, matrix_power
from fnn.operations.elementwise import BINARY, UNARY, power
from fnn.operations.operands import array_of, axes_of, to_dtype
from fnn.operations.products import matmul, outer, tensordot, vecdot
from fnn.operations.reductions import max_of, min_of, sum
from fnn.operations.selection import diagonal, trace
from fnn.operations.shaping import matrix_transpose, ravel, to

__all__ = [
    "cholesky", "cross", "diagonal", "matmul", "matrix_norm", "matrix_power", "matrix_transpose", "multi_dot", "norm",
    "outer", "tensordot", "trace", "vecdot", "vector_norm",
]  # fmt: skip


def _float(name: str, x: Any) -> Any:
    x = array_of(name, x)
    return x if aval_of(x).is_float else to_dtype(x, dtypes.to_inexact(aval_of(x).dtype))


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """The norm of vectors (one axis), or of matrices (two axes); of all elements if neither ord nor axis is given.

    ord for vectors: 2 (the default), 1, inf, -inf, 0, or any number; for matrices "fro" (the default), 1, -1, inf, -inf.
    Raises UnsupportedError for the matrix norms that need singular values (2, -2, "nuc"). The derivative at 0 is NaN, as
    the norm has none there.

    >>> import fnn.numpy as fnp
    >>> float(fnp.linalg.norm(fnp.array([3.0, 4.0])))
    5.0
    """
    x = _float("norm", x)
    rank = aval_of(x).ndim
    if axis is None and ord is None:
        out = _two(ravel(x), (0,), False)
        return to(out, (1,) * rank) if keepdims else out
    axes = axes_of("norm", axis, rank)
    if len(axes) == 1:
        return vector_norm(x, ord=2 if ord is None else ord, axis=axes, keepdims=keepdims)
    if len(axes) != 2:
        raise ArgumentError(
            f"norm: {aval_of(x)} along the axes {axes}, at {describe(here())}; a norm is of one axis (vectors) or "
            "two (matrices)"
        )
    return _matrix(x, "fro" if ord is None else ord, axes, keepdims)


def _two(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return UNARY["sqrt"](sum(UNARY["square"](x), axes, keepdims=keepdims))


def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """The norm of vectors: (sum |x|**ord)**(1/ord) along axes; inf and -inf are the extremes, 0 counts."""
    x = _float("vector_norm", x)
    axes = axes_of("vector_norm", axis, aval_of(x).ndim)
    if isinstance(ord, str):
        raise ArgumentError(f"norm: {ord!r} is no norm of vectors, at {describe(here())}; give a number")
    if ord == 2:
        return _two(x, axes, keepdims)
    size = UNARY["absolute"](x)
    if ord == math.inf:
        return max_of(size, axes, keepdims=keepdims)
    if ord == -math.inf:
        return min_of(size, axes, keepdims=keepdims)
    if ord == 0:
        return sum(to_dtype(BINARY["not_equal"](x, 0), aval_of(x).dtype), axes, keepdims=keepdims)
    if ord == 1:
        return sum(size, axes, keepdims=keepdims)
    return power(sum(power(size, ord), axes, keepdims=keepdims), 1 / ord)


def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """The norm of matrices, the last two axes; ord as in `norm`."""
    x = _float("matrix_norm", x)
    return _matrix(x, ord, (aval_of(x).ndim - 2, aval_of(x).ndim - 1), keepdims)


def _matrix(x: Any, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    if ord in ("fro", "f"):
        return _two(x, axes, keepdims)
    if ord in (1, -1, math.inf, -math.inf):
        over = axes[0] if ord in (1, -1) else axes[1]
        extreme = max_of if ord in (1, math.inf) else min_of
        sums = sum(UNARY["absolute"](x), over, keepdims=True)
        return extreme(sums, axes, keepdims=keepdims)
    if ord in (2, -2, "nuc"):
        raise UnsupportedError(
            f"norm: ord={ord!r} of matrices needs singular values, which are not there yet, at "
            f'{describe(here())}; "fro", 1 and inf are'
        )
    raise ArgumentError(
        f'norm: {ord!r} is no norm of matrices, at {describe(here())}; "fro", 1, -1, inf and -inf are'
    )


def cholesky(x: Any, *, upper: bool = False, symmetrize_input: bool = True) -> Any:
    """The lower triangular L with L @ L.T = x, for symmetric positive definite x (over leading axes); NaN where x is not.

    upper: the upper triangular factor. symmetrize_input: use (x + x.T) / 2. Raises ShapeError if x is not square."""
    x = _float("cholesky", x)
    shape = aval_of(x).shape
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ShapeError(f"cholesky: {aval_of(x)} is no square matrix, at {describe(here())}")
    if symmetrize_input:
        x = BINARY["multiply"](BINARY["add"](x, matrix_transpose(x)), 0.5)
    lower = P.cholesky(x)
    return matrix_transpose(lower) if upper else lower


def multi_dot(arrays: Any, *, precision: Any = None) -> Any:
    """The product of several matrices, in the order of products that needs the fewest operations."""
    xs = [array_of("multi_dot", x) for x in arrays]
    if len(xs) < 3:
        return functools.reduce(matmul, xs)
    from fnn.numpy.linear import einsum

    letters = "abcdefghijklmnopqrstuvwxyz"
    terms = [letters[k : k + 2] for k in range(len(xs))]
    terms[0] = terms[0][-aval_of(xs[0]).ndim :]
    terms[-1] = terms[-1][: aval_of(xs[-1]).ndim]
    out = (terms[0][0] if len(terms[0]) == 2 else "") + (terms[-1][-1] if len(terms[-1]) == 2 else "")
    return einsum(",".join(terms) + "->" + out, *xs)


def _missing(name: str, instead: str) -> Callable[..., Any]:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise UnsupportedError(f"fnn.numpy.linalg.{name} is not there yet, at {describe(here())}; {instead}")

    refuse.__name__ = refuse.__qualname__ = name
    refuse.__doc__ = f"Not there yet: raises UnsupportedError. {instead[0].upper()}{instead[1:]}."
    return refuse


_SYSTEMS = (
    "for a symmetric positive definite matrix use cholesky and fnn.lax.linalg.triangular_solve; "
    "outside of transformations numpy.linalg computes it"
)
_OUTSIDE = "outside of transformations numpy.linalg computes it: fnp.asarray(np.linalg.{}(x))"
inv, solve, det, slogdet = (_missing(name, _SYSTEMS) for name in ("inv", "solve", "det", "slogdet"))
_DECOMPOSITIONS = (
    "qr", "svd", "svdvals", "eig", "eigh", "eigvals", "eigvalsh", "lstsq", "pinv", "matrix_rank", "cond",
    "tensorsolve", "tensorinv",
)  # fmt: skip
qr, svd, svdvals, eig, eigh, eigvals, eigvalsh, lstsq, pinv, matrix_rank, cond, tensorsolve, tensorinv = (
    _missing(name, _OUTSIDE.format(name)) for name in _DECOMPOSITIONS
)
