"""Eigenvalues of symmetric matrices, and singular values.

Derivatives: M. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation",
2008. Where two eigenvalues (singular values) are equal, the derivative of their vectors does not exist, as any basis of
their space serves: it comes out infinite or NaN, as in JAX, rather than as a number that means nothing. The derivative
of the values themselves does not ask for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fnn.core.aval import Aval
from fnn.core.primitive import Sample
from fnn.core.source import describe, here
from fnn.core.trace import shape_of
from fnn.errors import DifferentiationError
from fnn.primitives import arithmetic
from fnn.primitives.lapack import Ask, Routine, check_matrices, library, real_type
from fnn.primitives.matrices import (
    add,
    adjoint,
    as_complex,
    columns_of,
    conjugated,
    diagonal,
    diagonal_matrix,
    fold_to_lower,
    gaps,
    hermitian_from_lower,
    is_complex,
    matmul,
    only_diagonal,
    real,
    reciprocal_off_diagonal,
    rows_of,
    scalar,
    waves,
)

# -- eigh ----------------------------------------------------------------------------------------------------


def _eigh_shape(a: Aval, vectors: bool) -> list[Aval]:
    check_matrices("eigh", a)
    values = Aval(a.shape[:-1], real_type(a.dtype))
    return [values, a.strong()] if vectors else [values]


def _eigh_write(r: Routine, ins: Sequence[Aval], outs: Sequence[Aval], params: dict[str, Any]) -> None:
    (a,), n = r.inputs, ins[0].shape[-1]
    values, matrix = r.outputs[0], r.outputs[1] if params["vectors"] else r.work(r.element, n * n)
    r.copy(matrix, a)
    reals = [Ask(r.real)] if r.complex else []
    r.call(
        "heevd" if r.complex else "syevd", "V" if params["vectors"] else "N", "L", n, matrix, max(1, n), values,
        Ask(r.element), *reals, Ask("i4"), None, spoils=r.outputs,
    )  # fmt: skip
    r.order, r.flops = n, (9.0 if params["vectors"] else 4 / 3) * n**3


def _eigh_jvp(primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
    (t,) = tangents
    if t is None:
        out = eigh(*primals, **params)
        return out, [None] * len(out)
    w, v = eigh(*primals, vectors=True)
    inner = matmul(matmul(v, hermitian_from_lower(t), x_adjoint=True), v)
    tw = diagonal(real(inner))
    if not params["vectors"]:
        return [w], [tw]
    return [w, v], [tw, matmul(v, arithmetic.mul(as_complex(gaps(w), v), inner))]


def _eigh_vjp(
    needs: Sequence[bool], args: Sequence[Any], params: dict[str, Any]
) -> tuple[Any, Any, list[bool]]:
    if not needs[0]:
        out = eigh(*args, **params)
        return out, None, [False] * len(out)
    w, v = eigh(*args, vectors=True)

    def pull(cts: Sequence[Any]) -> list[Any]:
        of_w, of_v = cts[0], cts[1] if len(cts) > 1 else None
        if of_v is None:
            if of_w is None:
                return [None]
            scaled = arithmetic.mul(v, as_complex(rows_of(real(of_w), shape_of(v)[-1]), v))
            return [fold_to_lower(matmul(scaled, v, y_adjoint=True))]
        inner = arithmetic.mul(as_complex(gaps(w), v), matmul(v, of_v, x_adjoint=True))
        inner = add(inner, None if of_w is None else diagonal_matrix(as_complex(real(of_w), v)))
        return [fold_to_lower(matmul(matmul(v, inner), v, y_adjoint=True))]

    out = [w, v] if params["vectors"] else [w]
    return out, conjugated(pull), [True] * len(out)


def _symmetric(n: int, lead: tuple[int, ...] = (), dtype: Any = np.float32) -> np.ndarray:
    a = waves((*lead, n, n), 0.7, np.float64)
    return (a + np.swapaxes(a, -1, -2) + np.diag(np.arange(n))).astype(dtype)


# a, of which only the lower triangle is read -> eigenvalues, rising, and (vectors) as columns the eigenvectors
eigh = library(
    "eigh",
    shape=_eigh_shape,
    write=_eigh_write,
    columns_in=(0,),
    columns_out=(1,),
    multiple=True,
    jvp=_eigh_jvp,
    vjp=_eigh_vjp,
    samples=lambda: [
        Sample((_symmetric(3),), {"vectors": True}, tolerance=16),
        Sample((_symmetric(4, (2,)),), {"vectors": True}, tolerance=16),
        Sample((_symmetric(3, (2,)),), {"vectors": False}, tolerance=16),
        Sample((np.eye(2, dtype=np.float32),), {"vectors": True}, differentiate=False),
        Sample(("f4[2,0,0]",), {"vectors": True}),
        Sample(("f4[0,3,3]",), {"vectors": True}),
    ],
)


# -- svd -----------------------------------------------------------------------------------------------------


def _svd_shape(a: Aval, full_matrices: bool, vectors: bool) -> list[Aval]:
    check_matrices("svd", a, square=False)
    (m, n), lead = a.shape[-2:], a.shape[:-2]
    k = min(m, n)
    values = Aval((*lead, k), real_type(a.dtype))
    if not vectors:
        return [values]
    left, right = (m, n) if full_matrices else (k, k)
    return [values, Aval((*lead, m, left), a.dtype), Aval((*lead, right, n), a.dtype)]


def _svd_write(r: Routine, ins: Sequence[Aval], outs: Sequence[Aval], params: dict[str, Any]) -> None:
    # By columns the matrix is its transpose, and its left singular vectors are, by rows, what is wanted on the right.
    (a,), (m, n) = r.inputs, ins[0].shape[-2:]
    k = min(m, n)
    matrix = r.work(r.element, a.size)
    r.copy(matrix, a)
    if params["vectors"]:
        values, u, vh = r.outputs
        job, columns = ("A", m) if params["full_matrices"] else ("S", k)
        room = max(5 * k * k + 5 * k, 2 * max(m, n) * k + 2 * k * k + k)
    else:
        values, job, columns, room = r.outputs[0], "N", 1, 7 * k
        u = vh = r.work(r.element, 1)
    reals = [r.work(r.real, room)] if r.complex else []
    r.call(
        "gesdd", job, n, m, matrix, max(1, n), values, vh, max(1, n), u, max(1, columns),
        Ask(r.element), *reals, r.work("i4", 8 * k), None, spoils=r.outputs,
    )  # fmt: skip
    r.order, r.flops = k, (6.0 if params["vectors"] else 2.7) * m * n * k + 20.0 * k**3


def _refuse_full(a: Any, params: dict[str, Any]) -> None:
    m, n = shape_of(a)[-2:]
    if params["vectors"] and params["full_matrices"] and m != n:
        raise DifferentiationError(
            f"svd: the derivative of full orthogonal matrices ({m} rows, {n} columns) does not exist, because their last "
            f"vectors are arbitrary, at {describe(here())}; use full_matrices=False"
        )


def _rises(s: Any, like: Any) -> Any:
    """[..., i, j] = 1 / (s[j]² - s[i]²), 0 on the diagonal."""
    k = shape_of(s)[-1]
    i, j = columns_of(s, k), rows_of(s, k)
    return as_complex(
        reciprocal_off_diagonal(arithmetic.mul(arithmetic.add(j, i), arithmetic.sub(j, i))), like
    )


def _reciprocal(s: Any) -> Any:
    return arithmetic.div(scalar(1.0, s), s)


def _with_adjoint(x: Any) -> Any:
    return arithmetic.add(x, adjoint(x))


def _outside(u: Any, x: Any) -> Any:
    """(1 - u uᴴ) x."""
    return arithmetic.sub(x, matmul(u, matmul(u, x, x_adjoint=True)))


def _svd_jvp(primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
    (a,), (t,) = primals, tangents
    if t is None:
        out = svd(a, **params)
        return out, [None] * len(out)
    _refuse_full(a, params)
    s, u, vh = svd(a, full_matrices=False, vectors=True)
    m, n = shape_of(a)[-2:]
    k = shape_of(s)[-1]
    right = matmul(t, vh, y_adjoint=True)
    inner = matmul(u, right, x_adjoint=True)
    ts = diagonal(real(inner))
    if not params["vectors"]:
        return [s], [ts]
    rises, wide = _rises(s, a), as_complex(s, a)
    inverse = as_complex(_reciprocal(s), a)
    turn_u = arithmetic.mul(rises, _with_adjoint(arithmetic.mul(inner, rows_of(wide, k))))
    turn_v = arithmetic.mul(rises, _with_adjoint(arithmetic.mul(columns_of(wide, k), inner)))
    if is_complex(a):
        phases = only_diagonal(arithmetic.sub(inner, as_complex(real(inner), inner)))
        turn_u = arithmetic.add(turn_u, arithmetic.mul(phases, columns_of(inverse, k)))
    tu, tv = matmul(u, turn_u), matmul(adjoint(vh), turn_v)
    if m > n:
        tu = arithmetic.add(tu, arithmetic.mul(_outside(u, right), rows_of(inverse, m)))
    if n > m:
        left = matmul(t, u, x_adjoint=True)
        tv = arithmetic.add(tv, arithmetic.mul(_outside(adjoint(vh), left), rows_of(inverse, n)))
    return [s, u, vh], [ts, tu, adjoint(tv)]


def _svd_vjp(
    needs: Sequence[bool], args: Sequence[Any], params: dict[str, Any]
) -> tuple[Any, Any, list[bool]]:
    (a,) = args
    if not needs[0]:
        out = svd(a, **params)
        return out, None, [False] * len(out)
    _refuse_full(a, params)
    s, u, vh = svd(a, full_matrices=False, vectors=True)

    def pull(cts: Sequence[Any]) -> list[Any]:
        of_s, of_u, of_vh = cts if len(cts) == 3 else (cts[0], None, None)
        m, n = shape_of(a)[-2:]
        k = shape_of(s)[-1]
        wide, inverse = as_complex(s, a), as_complex(_reciprocal(s), a)
        inner = None if of_s is None else diagonal_matrix(as_complex(real(of_s), a))
        outside = None
        if of_u is not None:
            p = matmul(u, of_u, x_adjoint=True)
            turn = _with_adjoint(arithmetic.mul(_rises(s, a), p))
            inner = add(inner, arithmetic.mul(turn, rows_of(wide, k)))
            if is_complex(a):
                phases = only_diagonal(arithmetic.sub(p, as_complex(real(p), p)))
                inner = add(inner, arithmetic.mul(phases, columns_of(inverse, k)))
            if m > n:
                outside = matmul(arithmetic.mul(_outside(u, of_u), rows_of(inverse, m)), vh)
        if of_vh is not None:
            v, of_v = adjoint(vh), adjoint(of_vh)
            turn = _with_adjoint(arithmetic.mul(_rises(s, a), matmul(v, of_v, x_adjoint=True)))
            inner = add(inner, arithmetic.mul(columns_of(wide, k), turn))
            if n > m:
                scaled = arithmetic.mul(_outside(v, of_v), rows_of(inverse, n))
                outside = add(outside, matmul(u, scaled, y_adjoint=True))
        if inner is None:
            return [None]
        return [add(matmul(matmul(u, inner), vh), outside)]

    out = [s, u, vh] if params["vectors"] else [s]
    return out, conjugated(pull), [True] * len(out)


def _svd_samples() -> list[Sample]:
    thin, full = ({"full_matrices": f, "vectors": True} for f in (False, True))
    return [
        Sample((waves((4, 3), 0.2),), thin, tolerance=16),
        Sample((waves((2, 3, 3), 0.2),), full, tolerance=16),
        Sample((waves((2, 3, 5), 0.2),), thin, tolerance=16),
        Sample((waves((4, 2), 0.2),), full, differentiate=False, tolerance=16),
        Sample((waves((2, 4, 3), 0.2),), {"full_matrices": False, "vectors": False}, tolerance=16),
        Sample(("f4[2,3,0]",), thin),
        Sample(("f4[0,3,2]",), thin),
    ]


# a [m, n] -> singular values, falling, and (vectors) U [m, k] and Vᴴ [k, n] with a = U diag(s) Vᴴ; k is min(m, n);
# full_matrices: U [m, m] and Vᴴ [n, n]
svd = library(
    "svd", shape=_svd_shape, write=_svd_write, multiple=True, jvp=_svd_jvp, vjp=_svd_vjp, samples=_svd_samples
)
