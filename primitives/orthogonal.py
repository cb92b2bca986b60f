"""QR factors: Householder reflectors, and the orthogonal matrices that they stand for.

Derivatives: S. F. Walter and L. Lehmann, "Algorithmic differentiation of linear algebra functions with application in
optimum experimental design", 2010 (arXiv:1001.1654); for wide matrices, D. A. O. Roberts and L. R. Roberts, "QR and LQ
decomposition matrix backpropagation algorithms", 2020 (arXiv:2009.10071).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fnn.core.aval import Aval
from fnn.core.lowering import Decompose
from fnn.core.primitive import Primitive, Sample, not_differentiable
from fnn.core.source import describe, here
from fnn.core.trace import shape_of
from fnn.errors import DifferentiationError, ShapeError
from fnn.primitives import arithmetic, structural
from fnn.primitives.lapack import Ask, Routine, check_floats, check_matrices, library
from fnn.primitives.linalg import triangular_solve
from fnn.primitives.linear_systems import permutation_matrix
from fnn.primitives.matrices import (
    INT32,
    add,
    adjoint,
    as_complex,
    beside,
    conj,
    conjugated,
    cut,
    hermitian_from_lower,
    is_complex,
    matmul,
    matrix_transpose,
    only_diagonal,
    real,
    scalar,
    triangle,
    waves,
)

# -- reflectors ----------------------------------------------------------------------------------------------


def _geqrf_shape(a: Aval) -> list[Aval]:
    check_matrices("geqrf", a, square=False)
    return [a.strong(), Aval((*a.shape[:-2], min(a.shape[-2:])), a.dtype)]


def _geqrf_write(r: Routine, ins: Sequence[Aval], outs: Sequence[Aval], params: dict[str, Any]) -> None:
    (a,), (factors, taus), (m, n) = r.inputs, r.outputs, ins[0].shape[-2:]
    r.copy(factors, a)
    r.call("geqrf", m, n, factors, max(1, m), taus, Ask(r.element), None)
    r.order, r.flops = min(m, n), 2.0 * m * n * min(m, n)


_refused = not_differentiable("Householder reflectors have no derivative here; that of qr has its own")

# a [m, n] -> R on and above the diagonal, reflectors below it; and their factors tau [min(m, n)]
geqrf = library(
    "geqrf",
    shape=_geqrf_shape,
    write=_geqrf_write,
    columns_in=(0,),
    columns_out=(0,),
    multiple=True,
    jvp=_refused[0],
    vjp=_refused[1],
    samples=lambda: [
        Sample((waves((4, 3), 0.2),), tolerance=4),
        Sample((waves((2, 3, 5), 0.2),), tolerance=4),
        Sample(("f4[2,0,3]",)),
    ],
)


def _geqp3_shape(a: Aval) -> list[Aval]:
    check_matrices("geqp3", a, square=False)
    return [
        a.strong(),
        Aval((*a.shape[:-2], min(a.shape[-2:])), a.dtype),
        Aval((*a.shape[:-2], a.shape[-1]), INT32),
    ]


def _geqp3_write(r: Routine, ins: Sequence[Aval], outs: Sequence[Aval], params: dict[str, Any]) -> None:
    (a,), (factors, taus, order), (m, n) = r.inputs, r.outputs, ins[0].shape[-2:]
    r.copy(factors, a)
    r.zero(order)  # every column may move
    reals = [r.work(r.real, 2 * n)] if r.complex else []
    r.call("geqp3", m, n, factors, max(1, m), order, taus, Ask(r.element), *reals, None)
    r.order, r.flops = min(m, n), 2.0 * m * n * min(m, n)


# a -> what geqrf gives for a[:, p], where R's diagonal falls, and p, counted from 1
geqp3 = library(
    "geqp3",
    shape=_geqp3_shape,
    write=_geqp3_write,
    columns_in=(0,),
    columns_out=(0,),
    multiple=True,
    jvp=_refused[0],
    vjp=_refused[1],
    samples=lambda: [
        Sample((waves((4, 3), 0.2),), tolerance=4),
        Sample((waves((2, 3, 5), 0.2),), tolerance=4),
        Sample(("f4[2,0,0]",)),
    ],
)


def _product_shape(a: Aval, taus: Aval) -> Aval:
    check_matrices("householder_product", a, square=False)
    check_floats("householder_product", a, taus)
    m, n = a.shape[-2:]
    if taus.shape[:-1] != a.shape[:-2] or taus.ndim != a.ndim - 1 or not taus.shape[-1] <= n <= m:
        raise ShapeError(
            f"householder_product: reflectors {a} and factors {taus} do not fit, at {describe(here())}; a [m, n] and "
            "taus [k] need m >= n >= k"
        )
    return a.strong()


def _product_write(r: Routine, ins: Sequence[Aval], outs: Sequence[Aval], params: dict[str, Any]) -> None:
    (a, taus), (q,), (m, n) = r.inputs, r.outputs, ins[0].shape[-2:]
    r.copy(q, a)
    r.call("ungqr" if r.complex else "orgqr", m, n, taus.size, q, max(1, m), taus, Ask(r.element), None)
    r.order, r.flops = n, 2.0 * m * n * taus.size


_product_refused = not_differentiable("householder_product has no derivative; that of qr has its own")
# (reflectors below the diagonals of a [m, n], taus [k]) -> the first n columns of the product of the k reflectors
householder_product = library(
    "householder_product",
    shape=_product_shape,
    write=_product_write,
    columns_in=(0,),
    columns_out=(0,),
    jvp=_product_refused[0],
    vjp=_product_refused[1],
    samples=lambda: [
        Sample((waves((4, 3), 0.2), waves((3,), 1.0)), tolerance=4),
        Sample((waves((2, 4, 4), 0.2), waves((2, 2), 1.0)), tolerance=4),
        Sample(("f4[2,3,0]", "f4[2,0]")),
    ],
)


def _ormqr_shape(a: Aval, taus: Aval, c: Aval, left: bool, transpose: bool) -> Aval:
    check_matrices("ormqr", a, square=False)
    check_floats("ormqr", a, taus, c)
    side = -2 if left else -1
    fits = c.ndim == a.ndim and c.shape[:-2] == a.shape[:-2] and c.shape[side] == a.shape[-2]
    if not fits or taus.shape != (*a.shape[:-2], a.shape[-1]) or a.shape[-1] > a.shape[-2]:
        raise ShapeError(
            f"ormqr: reflectors {a}, factors {taus} and matrices {c} do not fit, at {describe(here())}"
        )
    return c.strong()


def _ormqr_write(r: Routine, ins: Sequence[Aval], outs: Sequence[Aval], params: dict[str, Any]) -> None:
    (a, taus, c), (out,), (m, n) = r.inputs, r.outputs, ins[2].shape[-2:]
    order, k = ins[0].shape[-2:]
    side, turned = "L" if params["left"] else "R", "N"
    if params["transpose"]:
        turned = "C" if r.complex else "T"
    r.copy(out, c)
    name = "unmqr" if r.complex else "ormqr"
    r.call(name, side, turned, m, n, k, a, max(1, order), taus, out, max(1, m), Ask(r.element), None)
    r.order, r.flops = k, 4.0 * m * n * k


# (reflectors a [m, k], taus [k], c) -> Q c, c Q, Qᴴ c or c Qᴴ, where Q [m, m] is the product of the reflectors
ormqr = library(
    "ormqr",
    shape=_ormqr_shape,
    write=_ormqr_write,
    columns_in=(0, 2),
    columns_out=(0,),
    jvp=_product_refused[0],
    vjp=_product_refused[1],
    samples=lambda: [
        Sample(
            (waves((4, 3), 0.2), waves((3,), 1.0), waves((4, 2), 2.0)),
            {"left": True, "transpose": False},
            tolerance=8,
        ),
        Sample(
            (waves((2, 4, 3), 0.2), waves((2, 3), 1.0), waves((2, 2, 4), 2.0)),
            {"left": False, "transpose": True},
            tolerance=8,
        ),
        Sample(("f4[3,2]", "f4[2]", "f4[3,0]"), {"left": True, "transpose": True}),
    ],
)


# -- qr ------------------------------------------------------------------------------------------------------


def _qr_shape(a: Aval, full_matrices: bool, pivoting: bool) -> list[Aval]:
    check_matrices("qr", a, square=False)
    m, n = a.shape[-2:]
    k = m if full_matrices else min(m, n)
    order = [Aval((*a.shape[:-2], n), INT32)] if pivoting else []
    return [Aval((*a.shape[:-2], m, k), a.dtype), Aval((*a.shape[:-2], k, n), a.dtype), *order]


def _qr_of(a: Any, full_matrices: bool, pivoting: bool) -> list[Any]:
    m, n = shape_of(a)[-2:]
    k = m if full_matrices else min(m, n)
    order = []
    if pivoting:
        factors, taus, order_from_1 = geqp3(a)
        order = [arithmetic.sub(order_from_1, np.asarray(1, np.int32))]
    else:
        factors, taus = geqrf(a)
    reflectors = factors
    if n < k:
        zero = structural.broadcast(scalar(0.0, a), shape=(*shape_of(a)[:-2], m, k - n), axes=())
        reflectors = beside(factors, zero, -1)
    q = householder_product(cut(reflectors, m, k), taus)
    return [q, triangle(cut(factors, k, n), lower=False), *order]


def _qr_evaluate(a: Any, full_matrices: bool, pivoting: bool) -> list[np.ndarray]:
    a = np.asarray(a)
    m, n = a.shape[-2:]
    k = m if full_matrices else min(m, n)
    factors, taus, *order = (geqp3 if pivoting else geqrf).evaluate(a)
    reflectors = np.zeros((*a.shape[:-2], m, k), a.dtype)
    reflectors[..., : min(n, k)] = factors[..., : min(n, k)]
    return [
        householder_product.evaluate(reflectors, taus),
        np.triu(factors[..., :k, :]),
        *[p - 1 for p in order],
    ]


_RIGHT = {"left_side": False, "lower": False, "unit_diagonal": False}


def _refuse_full(a: Any, params: dict[str, Any]) -> None:
    m, n = shape_of(a)[-2:]
    if params["full_matrices"] and m > n:
        raise DifferentiationError(
            f"qr: the derivative of a full orthogonal matrix ({m} rows, {n} columns) is not there, because its last "
            f'columns are arbitrary, at {describe(here())}; use mode="reduced" (full_matrices=False)'
        )


def _thin_jvp(q: Any, r: Any, t: Any) -> tuple[Any, Any]:
    """For at least as many rows as columns."""
    scaled = triangular_solve(r, t, transpose_a=False, **_RIGHT)
    inner = matmul(q, scaled, x_adjoint=True)
    below = triangle(inner, lower=True, strict=True)
    turn = arithmetic.sub(below, adjoint(below))
    if is_complex(r):  # R's diagonal stays real
        turn = arithmetic.add(turn, only_diagonal(arithmetic.sub(inner, as_complex(real(inner), inner))))
    tq = arithmetic.add(matmul(q, arithmetic.sub(turn, inner)), scaled)
    return tq, matmul(arithmetic.sub(inner, turn), r)


def _qr_jvp(primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
    (a,), (t,) = primals, tangents
    out = qr(a, **params)
    if t is None:
        return out, [None] * len(out)
    _refuse_full(a, params)
    q, r, *order = out
    if order:
        turn = permutation_matrix(order[0], a)
        a, t = matmul(a, turn), matmul(t, turn)
    m, n = shape_of(a)[-2:]
    if m >= n:
        tq, tr = _thin_jvp(q, r, t)
    else:
        tq, first = _thin_jvp(q, cut(r, m, m), cut(t, m, m))
        rest, t_rest = cut(a, m, n - m, left=m), cut(t, m, n - m, left=m)
        tr = beside(
            first, arithmetic.add(matmul(tq, rest, x_adjoint=True), matmul(q, t_rest, x_adjoint=True)), -1
        )
    return out, [tq, tr, *[None] * len(order)]


def _thin_pull(q: Any, r: Any, gq: Any, gr: Any) -> Any:
    """For at least as many rows as columns."""
    inner = add(
        None if gr is None else matmul(gr, r, y_adjoint=True),
        None if gq is None else arithmetic.neg(matmul(q, gq, x_adjoint=True)),
    )
    sum_ = add(gq, matmul(q, hermitian_from_lower(adjoint(inner))))
    return triangular_solve(conj(r), sum_, transpose_a=True, **_RIGHT)


def _qr_vjp(
    needs: Sequence[bool], args: Sequence[Any], params: dict[str, Any]
) -> tuple[Any, Any, list[bool]]:
    (a,) = args
    out = qr(a, **params)
    if not needs[0]:
        return out, None, [False] * len(out)
    _refuse_full(a, params)
    q, r, *order = out

    def pull(cts: Sequence[Any]) -> list[Any]:
        gq, gr = cts[:2]
        if gq is None and gr is None:
            return [None]
        m, n = shape_of(a)[-2:]
        if m >= n:
            out = _thin_pull(q, r, gq, gr)
        else:
            of_rest = None
            if gr is not None:
                turned = matmul(a, permutation_matrix(order[0], a)) if order else a
                gr, of_r = cut(gr, m, m), cut(gr, m, n - m, left=m)
                of_rest = matmul(q, of_r)
                gq = add(gq, matmul(cut(turned, m, n - m, left=m), of_r, y_adjoint=True))
            out = _thin_pull(q, cut(r, m, m), gq, gr)
            if of_rest is None:
                zero = scalar(0.0, a)
                of_rest = structural.broadcast(zero, shape=(*shape_of(a)[:-1], n - m), axes=())
            out = beside(out, of_rest, -1)
        return [matmul(out, matrix_transpose(permutation_matrix(order[0], a))) if order else out]

    return out, conjugated(pull), [True, True, *[False] * len(order)]


def _qr_samples() -> list[Sample]:
    thin, full = ({"full_matrices": f, "pivoting": False} for f in (False, True))
    return [
        Sample((waves((4, 3), 0.2),), thin, tolerance=8),
        Sample((waves((2, 3, 3), 0.2),), full, tolerance=8),
        Sample((waves((3, 5), 0.2),), thin, tolerance=8),
        Sample((waves((4, 2), 0.2),), full, differentiate=False, tolerance=8),
        Sample((waves((4, 3), 0.2),), {"full_matrices": False, "pivoting": True}, tolerance=8),
        Sample((waves((2, 3, 4), 0.2),), {"full_matrices": False, "pivoting": True}, tolerance=8),
        Sample(("f4[2,3,0]",), full, differentiate=False),
        Sample(("f4[0,3,2]",), thin),
    ]


# a [m, n] -> Q [m, k] with orthonormal columns and R [k, n], upper triangular, with a = Q R; k is min(m, n), or m
# (full_matrices). pivoting: and p with a[:, p] = Q R, R's diagonal falling in size
qr = Primitive(
    "qr",
    shape=_qr_shape,
    evaluate=_qr_evaluate,
    jvp=_qr_jvp,
    vjp=_qr_vjp,
    batch=lambda frame, flags, args, params: ((out := qr(*args, **params)), [True] * len(out)),
    lower=Decompose(_qr_of),
    multiple=True,
    samples=_qr_samples,
)
