"""Polynomials as arrays of coefficients, the highest power first."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from fnn import dtypes
from fnn.core.source import describe, here
from fnn.core.trace import Tracer, aval_of
from fnn.errors import ArgumentError, ShapeError
from fnn.indexing import IndexUpdateHelper
from fnn.numpy.creation import diag, vander
from fnn.numpy.functional import convolve
from fnn.operations.choice import where
from fnn.operations.creation import arange, asarray, ones, zeros
from fnn.operations.elementwise import BINARY, UNARY
from fnn.operations.operands import meet, to_dtype
from fnn.operations.products import matmul
from fnn.operations.reductions import any as any_of
from fnn.operations.reductions import argmax
from fnn.operations.reductions import sum as sum_of
from fnn.operations.selection import argsort, take
from fnn.operations.shaping import concatenate, cut, expand_dims, roll, transpose


def _coefficients(name: str, p: Any) -> Any:
    p = asarray(p)
    if aval_of(p).ndim > 1:
        raise ShapeError(f"{name}: {aval_of(p)} is no vector of coefficients, at {describe(here())}")
    return expand_dims(p, 0) if not aval_of(p).ndim else p


def _inexact(x: Any) -> Any:
    return to_dtype(x, dtypes.to_inexact(aval_of(x).dtype))


def polyval(p: Any, x: Any, *, unroll: int = 16) -> Any:
    """The value at x of the polynomial with coefficients p, the highest power first, by Horner's rule."""
    p, x = asarray(p), asarray(x)
    out: Any = BINARY["multiply"](x, to_dtype(asarray(0), aval_of(p).dtype))
    for k in range(aval_of(p).shape[0]):
        out = BINARY["add"](BINARY["multiply"](out, x), p[k])
    return out


def _padded(p: Any, size: int) -> Any:
    missing = size - aval_of(p).size
    return concatenate([zeros((missing,), aval_of(p).dtype), p]) if missing else p


def _level(name: str, p: Any, q: Any) -> tuple[Any, Any]:
    p, q = meet(name, _coefficients(name, p), _coefficients(name, q), spread=False)
    size = max(aval_of(p).size, aval_of(q).size)
    return _padded(p, size), _padded(q, size)


def polyadd(a1: Any, a2: Any) -> Any:
    """The coefficients of the sum of two polynomials."""
    return BINARY["add"](*_level("polyadd", a1, a2))


def polysub(a1: Any, a2: Any) -> Any:
    """The coefficients of the difference of two polynomials."""
    return BINARY["subtract"](*_level("polysub", a1, a2))


def polymul(a1: Any, a2: Any, *, trim_leading_zeros: bool = False) -> Any:
    """The coefficients of the product of two polynomials; trim_leading_zeros needs known coefficients."""
    p, q = _coefficients("polymul", a1), _coefficients("polymul", a2)
    if trim_leading_zeros:
        p, q = (_trimmed("polymul", v) for v in (p, q))
    p = p if aval_of(p).size else zeros((1,), aval_of(p).dtype)
    q = q if aval_of(q).size else zeros((1,), aval_of(q).dtype)
    return convolve(p, q)


def _known(name: str, p: Any) -> np.ndarray:
    return np.asarray(p.concrete(f"{name}: which coefficients are 0") if isinstance(p, Tracer) else p)


def _trimmed(name: str, p: Any) -> Any:
    some = np.flatnonzero(_known(name, p))
    return cut(p, 0, int(some[0]) if some.size else aval_of(p).size - 1, aval_of(p).size)


def polydiv(u: Any, v: Any, *, trim_leading_zeros: bool = False) -> tuple[Any, Any]:
    """(quotient, remainder) of two polynomials; the remainder is as long as u unless its zeros are trimmed."""
    u, v = meet(
        "polydiv", _coefficients("polydiv", u), _coefficients("polydiv", v), mode="inexact", spread=False
    )
    m, n = aval_of(u).size - 1, aval_of(v).size - 1
    quotient = []
    for k in range(m - n + 1):
        d = BINARY["divide"](u[k], v[0])
        quotient.append(d)
        u = IndexUpdateHelper(u)[k : k + n + 1].add(BINARY["multiply"](UNARY["negative"](d), v))
    out = asarray(quotient) if quotient else zeros((1,), aval_of(u).dtype)
    return out, _trimmed("polydiv", u) if trim_leading_zeros else u


def polyder(p: Any, m: int = 1) -> Any:
    """The coefficients of the m-th derivative of a polynomial. Raises ArgumentError for m < 0."""
    if operator.index(m) < 0:
        raise ArgumentError(f"polyder: the order {m} of a derivative is 0 or more, at {describe(here())}")
    p = _coefficients("polyder", p)
    p = _inexact(p)
    for _ in range(m):
        n = aval_of(p).size
        p = BINARY["multiply"](cut(p, 0, 0, max(n - 1, 0)), np.arange(n - 1, 0, -1).astype(np.int32))
    return p


def polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    """The coefficients of the m-th integral of a polynomial; k: the constants of integration (one for all, or m of them,
    the first one's first), 0 for None."""
    if operator.index(m) < 0:
        raise ArgumentError(f"polyint: the order {m} of an integral is 0 or more, at {describe(here())}")
    p = _inexact(_coefficients("polyint", p))
    constants = [0] * m if k is None else asarray(k)
    if k is not None:
        given = aval_of(constants).size
        if given not in (1, m):
            raise ShapeError(f"polyint: {given} constants for {m} integrals, at {describe(here())}")
        flat = expand_dims(constants, 0) if not aval_of(constants).ndim else constants
        constants = [flat[i if given == m else 0] for i in range(m)]
    for constant in constants:
        powers = np.arange(aval_of(p).size, 0, -1).astype(np.int32)
        last = expand_dims(to_dtype(asarray(constant), aval_of(p).dtype), 0)
        p = concatenate([BINARY["divide"](p, powers), last])
    return p


def poly(seq_of_zeros: Any) -> Any:
    """The coefficients of the polynomial with these zeros, or the characteristic polynomial of a square matrix."""
    zeros_of = _inexact(asarray(seq_of_zeros))
    shape = aval_of(zeros_of).shape
    if len(shape) == 2:
        if shape[0] != shape[1] or not shape[0]:
            raise ShapeError(f"poly: {aval_of(zeros_of)} is no square matrix, at {describe(here())}")
        from fnn.numpy.linalg import eigvals

        zeros_of = eigvals(zeros_of)
    elif len(shape) > 2:
        raise ShapeError(f"poly: {aval_of(zeros_of)} is neither a vector nor a matrix, at {describe(here())}")
    if not aval_of(zeros_of).size:
        return ones((), aval_of(zeros_of).dtype)
    out = ones((1,), aval_of(zeros_of).dtype)
    zeros_of = expand_dims(zeros_of, 0) if not aval_of(zeros_of).ndim else zeros_of
    one = ones((1,), aval_of(zeros_of).dtype)
    for k in range(aval_of(zeros_of).shape[0]):
        out = convolve(out, concatenate([one, UNARY["negative"](cut(zeros_of, 0, k, k + 1))]))
    return out


def roots(p: Any, *, strip_zeros: bool = True) -> Any:
    """The complex numbers where a polynomial is 0, as the eigenvalues of its companion matrix.

    strip_zeros: leave leading and trailing zeros out first, which must be known then. Without it there is a NaN at the end
    for every 0 in front."""
    p = _inexact(_coefficients("roots", p))
    behind = 0
    if strip_zeros:
        some = np.flatnonzero(_known("roots", p))
        if not some.size:
            return zeros((0,), dtypes.result_type(aval_of(p).dtype, dtypes.complex64))
        behind = aval_of(p).size - 1 - int(some[-1])
        p = cut(p, 0, int(some[0]), int(some[-1]) + 1)
    n = aval_of(p).size
    complex_dtype = dtypes.result_type(aval_of(p).dtype, dtypes.complex64)
    if n < 2:
        return zeros((behind,), complex_dtype)
    from fnn.numpy.linalg import eigvals

    lead: Any = 0
    if not strip_zeros:  # zeros in front go behind, and what they are roots of is found out again
        there = p != 0
        lead = where(any_of(there), argmax(there), n)
        p = roll(p, -lead)
        p = IndexUpdateHelper(p)[0].set(where(p[0] == 0, 1, p[0]))
    below = diag(ones((n - 2,), aval_of(p).dtype), -1)
    first = BINARY["divide"](UNARY["negative"](cut(p, 0, 1, n)), p[0])
    found = eigvals(IndexUpdateHelper(below)[0].set(first))
    if not strip_zeros:
        found = take(found, argsort(found == 0), 0)
        found = where(arange(n - 1) < n - 1 - lead, found, complex(math.nan, math.nan))
    return concatenate([found, zeros((behind,), complex_dtype)])


def polyfit(
    x: Any, y: Any, deg: int, rcond: float | None = None, full: bool = False, w: Any = None, cov: Any = False
) -> Any:
    """The coefficients of the polynomial of degree deg that fits the points (x, y) best, by least squares.

    y: a vector, or a matrix of several along its columns. w: a weight for every point. full: return (coefficients, residuals,
    rank, singular values, rcond). cov: return (coefficients, their covariance), "unscaled" leaving the variance of the
    residuals out. Raises ShapeError where the lengths differ."""
    from fnn.numpy.linalg import inv, lstsq

    order = operator.index(deg) + 1
    if order < 1:
        raise ArgumentError(f"polyfit: the degree {deg} is 0 or more, at {describe(here())}")
    x, y = meet("polyfit", asarray(x), asarray(y), mode="inexact", spread=False)
    points = aval_of(x).size
    if aval_of(x).ndim != 1 or not points or aval_of(y).ndim not in (1, 2) or aval_of(y).shape[0] != points:
        raise ShapeError(
            f"polyfit: points {aval_of(x)} and values {aval_of(y)}, at {describe(here())}: one value (or row of values) "
            "for every point"
        )
    rcond = points * float(dtypes.finfo(aval_of(x).dtype).eps) if rcond is None else rcond
    matrix, values = vander(x, order), y
    if w is not None:
        weights = _inexact(asarray(w))
        if aval_of(weights).shape != (points,):
            raise ShapeError(
                f"polyfit: weights {aval_of(weights)} for {points} points, at {describe(here())}"
            )
        matrix = BINARY["multiply"](matrix, expand_dims(weights, 1))
        values = BINARY["multiply"](values, expand_dims(weights, 1) if aval_of(y).ndim == 2 else weights)
    scale = UNARY["sqrt"](sum_of(UNARY["square"](matrix), 0))
    matrix = BINARY["divide"](matrix, scale)
    fitted, residuals, rank, singular = lstsq(matrix, values, rcond)
    fitted = transpose(BINARY["divide"](transpose(fitted), scale))
    if full:
        return fitted, residuals, rank, singular, rcond
    if not cov:
        return fitted
    spread = inv(matmul(transpose(matrix), matrix))
    spread = BINARY["divide"](spread, BINARY["multiply"](expand_dims(scale, 1), scale))
    if cov == "unscaled":
        return fitted, spread if aval_of(y).ndim == 1 else expand_dims(spread, 2)
    if points <= order:
        raise ArgumentError(f"polyfit: cov=True needs more points than {order}, at {describe(here())}")
    variance = BINARY["divide"](residuals, points - order)
    if aval_of(y).ndim == 1:
        return fitted, BINARY["multiply"](spread, variance)
    return fitted, BINARY["multiply"](expand_dims(spread, 2), variance)
