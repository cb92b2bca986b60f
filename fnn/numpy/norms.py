"""Norms of vectors and matrices, and what follows from singular values alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fnn import dtypes
from fnn.core.source import describe, here
from fnn.core.trace import aval_of
from fnn.errors import ArgumentError, ShapeError
from fnn.operations.choice import imag, real, where
from fnn.operations.elementwise import BINARY, UNARY, logical_not, logical_or, power
from fnn.operations.operands import array_of, axes_of, to_dtype
from fnn.operations.reductions import any as any_of
from fnn.operations.reductions import max_of, min_of, sum
from fnn.operations.shaping import expand_dims, moveaxis, ravel, to
from fnn.primitives.spectral import svd as svd_p


def inexact(name: str, x: Any) -> Any:
    """An array of floats or complex numbers."""
    x = array_of(name, x)
    dtype = aval_of(x).dtype
    return x if dtypes.is_float(dtype) or dtypes.is_complex(dtype) else to_dtype(x, dtypes.to_inexact(dtype))


def matrices(name: str, x: Any, square: bool = False) -> Any:
    """An array of floats with (square) matrices along its last two axes; 16-bit floats become float32."""
    x = inexact(name, x)
    aval = aval_of(x)
    if aval.ndim < 2 or (square and aval.shape[-1] != aval.shape[-2]):
        raise ShapeError(
            f"{name} needs {'square ' * square}matrices along the last two axes, not {aval}, at {describe(here())}"
        )
    return to_dtype(x, np.dtype(np.float32)) if aval.dtype.itemsize == 2 else x


def svdvals(x: Any, /) -> Any:
    """The singular values of matrices, falling: [..., m, n] -> [..., min(m, n)].

    >>> import fnn.numpy as fnp
    >>> fnp.linalg.svdvals(fnp.array([[3.0, 0.0], [0.0, -4.0]]))
    Array([4., 3.], dtype=float32)
    """
    return svd_p(matrices("svdvals", x), full_matrices=False, vectors=False)[0]


def matrix_rank(M: Any, rtol: Any = None, *, hermitian: bool = False, tol: Any = None) -> Any:
    """How many singular values exceed rtol times the largest (max(m, n) eps by default).

    tol: an absolute tolerance instead. hermitian is accepted: singular values serve all matrices."""
    x = array_of("matrix_rank", M)
    if aval_of(x).ndim < 2:
        return to_dtype(logical_not(_all_zero(x)), dtypes.default_int())
    x = matrices("matrix_rank", x)
    s = svdvals(x)
    if tol is None:
        m, n = aval_of(x).shape[-2:]
        eps = float(dtypes.finfo(aval_of(s).dtype).eps)
        rtol = max(m, n) * eps if rtol is None else expand_dims(array_of("matrix_rank", _asarray(rtol)), -1)
        tol = BINARY["multiply"](max_of(s, -1, keepdims=True, initial=0.0), rtol)
    else:
        tol = expand_dims(array_of("matrix_rank", _asarray(tol)), -1)
    return sum(to_dtype(BINARY["greater"](s, tol), dtypes.default_int()), -1)


def _asarray(x: Any) -> Any:
    from fnn.operations.creation import asarray

    return asarray(x)


def _all_zero(x: Any) -> Any:
    from fnn.operations.reductions import all

    return all(BINARY["equal"](x, 0))


def cond(x: Any, p: Any = None) -> Any:
    """The condition number of matrices: norm(x, p) * norm(inverse, p); p None or 2 by singular values, -2 the reverse."""
    x = matrices("cond", x)
    if p in (None, 2, -2):
        s = svdvals(x)
        large, small = max_of(s, -1), min_of(s, -1)
        ratio = BINARY["divide"](small, large) if p == -2 else BINARY["divide"](large, small)
    else:
        from fnn.numpy.linalg import inv

        ratio = BINARY["multiply"](matrix_norm(x, ord=p), matrix_norm(inv(x), ord=p))
    missing = any_of(BINARY["not_equal"](x, x), (-2, -1))
    return where(logical_or(BINARY["equal"](ratio, ratio), missing), ratio, np.inf)  # there is no inverse


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """The norm of vectors (one axis), or of matrices (two axes); of all elements if neither ord nor axis is given.

    ord for vectors: 2 (the default), 1, inf, -inf, 0, or any number; for matrices "fro" (the default), 1, -1, inf, -inf,
    and by singular values 2, -2 (the largest, the least) and "nuc" (their sum). The derivative at 0 is NaN, as the norm
    has none there.

    >>> import fnn.numpy as fnp
    >>> float(fnp.linalg.norm(fnp.array([3.0, 4.0])))
    5.0
    """
    x = inexact("norm", x)
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
    return UNARY["sqrt"](sum(_squares(x), axes, keepdims=keepdims))


def _squares(x: Any) -> Any:
    if aval_of(x).dtype.kind != "c":
        return UNARY["square"](x)
    return BINARY["add"](UNARY["square"](real(x)), UNARY["square"](imag(x)))


def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """The norm of vectors: (sum |x|**ord)**(1/ord) along axes; inf and -inf are the extremes, 0 counts."""
    x = inexact("vector_norm", x)
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
        return sum(to_dtype(BINARY["not_equal"](x, 0), aval_of(size).dtype), axes, keepdims=keepdims)
    if ord == 1:
        return sum(size, axes, keepdims=keepdims)
    return power(sum(power(size, ord), axes, keepdims=keepdims), 1 / ord)


def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """The norm of matrices, the last two axes; ord as in `norm`."""
    x = inexact("matrix_norm", x)
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
        moved = moveaxis(x, axes, (-2, -1))
        s = svd_p(matrices("norm", moved), full_matrices=False, vectors=False)[0]
        out = sum(s, -1) if ord == "nuc" else max_of(s, -1) if ord == 2 else min_of(s, -1)
        out = to_dtype(out, aval_of(UNARY["absolute"](x)).dtype)
        return expand_dims(out, axes) if keepdims else out
    raise ArgumentError(
        f'norm: {ord!r} is no norm of matrices, at {describe(here())}; "fro", "nuc", 2, -2, 1, -1, inf and -inf are'
    )
