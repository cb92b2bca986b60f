"""Determinants, by LU factors.

Derivatives: M. Giles, "Collected matrix derivative results", 2008.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fnn.core.aval import Aval
from fnn.core.lowering import Decompose
from fnn.core.primitive import Primitive, Sample
from fnn.core.trace import aval_of, shape_of
from fnn.primitives import (
    arithmetic,
    comparison,
    complex_numbers,
    conversion,
    reductions,
    structural,
    transcendental,
)
from fnn.primitives.lapack import check_matrices, real_type
from fnn.primitives.linalg import triangular_solve
from fnn.primitives.linear_systems import (
    _LOWER,
    _systems,
    factored_solve,
    lu,
    permuted_rows,
    pivots_to_permutation,
)  # fmt: skip
from fnn.primitives.matrices import (
    INT32,
    as_complex,
    columns_of,
    diagonal,
    identity,
    is_complex,
    matrix_transpose,
    real,
    scalar,
    where,
)  # fmt: skip
from fnn.primitives.rules import of_dtype


def _sign_of(pivots: Any, like: Any) -> Any:
    """1 or -1, as the permutation is even or odd."""
    shape = shape_of(pivots)
    place = arithmetic.add(
        structural.iota(dtype=INT32, shape=shape, dimension=len(shape) - 1), np.asarray(1, np.int32)
    )
    moved = of_dtype(comparison.ne(pivots, place), INT32)
    odd = arithmetic.rem(reductions.reduce_sum(moved, axes=(len(shape) - 1,)), np.asarray(2, np.int32))
    return of_dtype(
        arithmetic.sub(np.asarray(1, np.int32), arithmetic.mul(odd, np.asarray(2, np.int32))),
        aval_of(like).dtype,
    )


def _last(x: Any) -> tuple[int, ...]:
    return (len(shape_of(x)) - 1,)


# -- slogdet -------------------------------------------------------------------------------------------------


def _slogdet_shape(a: Aval) -> list[Aval]:
    check_matrices("slogdet", a)
    return [Aval(a.shape[:-2], a.dtype), Aval(a.shape[:-2], real_type(a.dtype))]


def _slogdet_of(factors: Any, pivots: Any) -> list[Any]:
    d = diagonal(factors)
    sign = arithmetic.mul(_sign_of(pivots, factors), reductions.reduce_prod(_signs(d), axes=_last(d)))
    return [sign, reductions.reduce_sum(transcendental.log(arithmetic.abs(d)), axes=_last(d))]


def _signs(d: Any) -> Any:
    """d / |d|, and 0 for 0."""
    if not is_complex(d):
        return arithmetic.sign(d)
    size = arithmetic.abs(d)
    nothing = comparison.eq(size, scalar(0.0, size))
    return arithmetic.div(d, as_complex(comparison.select(nothing, scalar(1.0, size), size), d))


def _inverse_transposed(a: Any, factors: Any, pivots: Any) -> Any:
    return factored_solve(a, factors, pivots, identity(a, shape_of(a)[-1]), transpose=True)


def _scaled(c: Any, matrices: Any) -> Any:
    """[...] times [..., n, n]."""
    n = shape_of(matrices)[-1]
    return arithmetic.mul(columns_of(columns_of(c, n), n), matrices)


def _slogdet_jvp(primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
    (a,), (t,) = primals, tangents
    factors, pivots = lu(conversion.stop_gradient(a))
    sign, log = slogdet(a)
    if t is None:
        return [sign, log], [None, None]
    d = diagonal(factored_solve(a, factors, pivots, t, transpose=False))
    trace = reductions.reduce_sum(d, axes=_last(d))
    if not is_complex(a):
        return [sign, log], [None, trace]
    turned = complex_numbers.complex(scalar_zeros(real(trace)), complex_numbers.imag(trace))
    return [sign, log], [arithmetic.mul(turned, sign), real(trace)]


def scalar_zeros(x: Any) -> Any:
    return arithmetic.mul(x, scalar(0.0, x))


def _slogdet_vjp(
    needs: Sequence[bool], args: Sequence[Any], params: dict[str, Any]
) -> tuple[Any, Any, list[bool]]:
    (a,) = args
    out = slogdet(a)
    if not needs[0]:
        return out, None, [False, False]
    sign = out[0]

    def pull(cts: Sequence[Any]) -> list[Any]:
        of_sign, of_log = cts
        if is_complex(a):
            imaginary = None if of_sign is None else complex_numbers.imag(arithmetic.mul(of_sign, sign))
            known = of_log if of_log is not None else imaginary
            zero = scalar_zeros(known)
            c = complex_numbers.complex(
                zero if of_log is None else of_log, zero if imaginary is None else imaginary
            )
        else:
            c = of_log
        if c is None:
            return [None]
        factors, pivots = lu(conversion.stop_gradient(a))
        return [_scaled(c, _inverse_transposed(a, factors, pivots))]

    return out, pull, [is_complex(a), True]


# a -> (sign, log|det a|); (0, -inf) for singular matrices
slogdet = Primitive(
    "slogdet",
    shape=_slogdet_shape,
    evaluate=lambda a: list(np.linalg.slogdet(np.asarray(a))),
    jvp=_slogdet_jvp,
    vjp=_slogdet_vjp,
    batch=lambda frame, flags, args, params: (slogdet(*args), [True, True]),
    lower=Decompose(lambda a: _slogdet_of(*lu(a))),
    multiple=True,
    samples=lambda: [
        Sample((_systems(3),), tolerance=8),
        Sample((_systems(4, (2, 2)),), tolerance=8),
        Sample((np.ones((2, 2), np.float32),), differentiate=False),
        Sample(("f4[2,0,0]",)),
        Sample(("f4[0,3,3]",)),
    ],
)


# -- det -----------------------------------------------------------------------------------------------------


def _det_shape(a: Aval) -> Aval:
    check_matrices("det", a)
    return Aval(a.shape[:-2], a.dtype)


def _det_of(factors: Any, pivots: Any) -> Any:
    d = diagonal(factors)
    return arithmetic.mul(_sign_of(pivots, factors), reductions.reduce_prod(d, axes=_last(d)))


def _cofactors(a: Any) -> Any:
    """det(a) a⁻ᵀ, right also where the rank of a is less by one: the last pivot, alone zero there, is divided out
    before anything is divided by it; zeros where the rank is less still."""
    n = shape_of(a)[-1]
    if n <= 1:
        return structural.broadcast(scalar(1.0, a), shape=shape_of(a), axes=())
    factors, pivots = lu(a)
    d = diagonal(factors)
    sign = _sign_of(pivots, factors)
    first = reductions.reduce_prod(_columns_before(d, n - 1), axes=_last(d))
    partial = arithmetic.mul(sign, first)  # the determinant without the last pivot
    whole = arithmetic.mul(sign, reductions.reduce_prod(d, axes=_last(d)))
    corner = columns_of(columns_of(arithmetic.div(scalar(1.0, a), partial), n), n)
    upper = where(
        factors, lambda i, j: comparison.lt(arithmetic.min(i, j), np.asarray(n - 1, np.int32)), corner
    )
    options = {"left_side": True, "lower": False, "transpose_a": False, "unit_diagonal": False}
    ones = structural.broadcast(scalar(1.0, a), shape=(*shape_of(a)[:-1], 1), axes=())
    sound = comparison.is_finite(triangular_solve(upper, ones, **options))
    sound = reductions.reduce_and(sound, axes=(len(shape_of(a)) - 2, len(shape_of(a)) - 1))
    order = pivots_to_permutation(arithmetic.sub(pivots, np.asarray(1, np.int32)), size=n, inverse=False)
    x = triangular_solve(factors, permuted_rows(identity(a, n), order), transpose_a=False, **_LOWER)
    x = where(
        arithmetic.mul(x, columns_of(columns_of(whole, n), n)),
        lambda i, j: comparison.lt(i, np.asarray(n - 1, np.int32)),
        x,
    )
    x = comparison.select(columns_of(columns_of(sound, n), n), x, scalar(0.0, x))
    clean = comparison.select(columns_of(columns_of(sound, n), n), upper, identity(a, n))
    return matrix_transpose(triangular_solve(clean, x, **options))


def _columns_before(d: Any, k: int) -> Any:
    shape = shape_of(d)
    lead = len(shape) - 1
    return structural.slice(d, start=(0,) * len(shape), limit=(*shape[:-1], k), step=(1,) * (lead + 1))


def _det_jvp(primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
    out = det(*primals)
    if tangents[0] is None:
        return out, None
    product = arithmetic.mul(_cofactors(primals[0]), tangents[0])
    rank = len(shape_of(product))
    return out, reductions.reduce_sum(product, axes=(rank - 2, rank - 1))


def _det_vjp(needs: Sequence[bool], args: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
    out = det(*args)
    if not needs[0]:
        return out, None
    (a,) = args
    return out, lambda ct: [_scaled(ct, _cofactors(a))]


# a -> det a
det = Primitive(
    "det",
    shape=_det_shape,
    evaluate=lambda a: np.asarray(np.linalg.det(np.asarray(a))),
    jvp=_det_jvp,
    vjp=_det_vjp,
    batch=lambda frame, flags, args, params: (det(*args), True),
    lower=Decompose(lambda a: _det_of(*lu(a))),
    samples=lambda: [
        Sample((_systems(1),), tolerance=8),
        Sample((_systems(4),), tolerance=16),
        Sample((_systems(3, (2, 2)),), tolerance=16),
        Sample(("f4[2,0,0]",)),
        Sample(("f4[0,3,3]",)),
    ],
)
