"""Eigenvalues of general matrices, and the forms on the way there: Hessenberg, tridiagonal, Schur.

Derivatives of eigenvalues and eigenvectors: M. Giles, "Collected matrix derivative results for forward and reverse mode
algorithmic differentiation", 2008, and for the phase and length of LAPACK's vectors, C. Boeddeker, P. Hanebrink, L. Drude,
J. Heymann and R. Haeb-Umbach, "On the computation of complex-valued gradients with application to statistically optimum
beamforming", 2017 (arXiv:1701.00392).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fnn import dtypes
from fnn.core.aval import Aval
from fnn.core.lowering import Decompose
from fnn.core.primitive import Primitive, Sample, not_differentiable
from fnn.core.trace import aval_of, shape_of
from fnn.primitives import arithmetic, comparison, complex_numbers, reductions, structural
from fnn.primitives.lapack import Ask, Routine, check_matrices, library, real_type
from fnn.primitives.linear_systems import solve
from fnn.primitives.matrices import (
    INT32,
    add,
    adjoint,
    as_complex,
    columns_of,
    conj,
    conjugated,
    diagonal,
    diagonal_matrix,
    gaps,
    matmul,
    matrix_transpose,
    real,
    rows_of,
    scalar,
    waves,
)

# -- eig -------------------------------------------------------------------------------------------------------------


def _geev_shape(a: Aval, left: bool, right: bool) -> list[Aval]:
    check_matrices("eig", a)
    vectors = [a.strong()] * (left + right)
    values = Aval(a.shape[:-1], a.dtype)
    return [values, *([] if a.dtype.kind == "c" else [values]), *vectors]


def _geev_write(r: Routine, ins: Sequence[Aval], outs: Sequence[Aval], params: dict[str, Any]) -> None:
    (a,), n = r.inputs, ins[0].shape[-1]
    count = 1 if r.complex else 2
    values, vectors = r.outputs[:count], r.outputs[count:]
    matrix = r.work(r.element, n * n)
    r.copy(matrix, a)
    nothing = r.work(r.element, 1)
    left = vectors[0] if params["left"] else nothing
    right = vectors[-1] if params["right"] else nothing
    reals = [r.work(r.real, 2 * n)] if r.complex else []
    r.call(
        "geev", "V" if params["left"] else "N", "V" if params["right"] else "N", n, matrix, max(1, n), *values,
        left, max(1, n), right, max(1, n), Ask(r.element), *reals, None, spoils=r.outputs,
    )  # fmt: skip
    r.order, r.flops = n, 25.0 * n**3


_refused = not_differentiable("geev is part of eig, which has the derivative")
# LAPACK's own results, vectors as rows: of real matrices real and imaginary parts of eigenvalues apart, and of each complex
# pair of vectors one row with the real and one with the imaginary part
geev = library(
    "geev",
    shape=_geev_shape,
    write=_geev_write,
    columns_in=(0,),
    multiple=True,
    jvp=_refused[0],
    vjp=_refused[1],
    samples=lambda: [
        Sample((waves((3, 3), 0.4),), {"left": False, "right": True}, tolerance=16),
        Sample((waves((2, 4, 4), 0.4),), {"left": True, "right": True}, tolerance=16),
        Sample((waves((2, 3, 3), 0.4),), {"left": False, "right": False}, tolerance=16),
        Sample(("f4[2,0,0]",), {"left": True, "right": True}),
    ],
)


def _eig_shape(a: Aval, left: bool, right: bool) -> list[Aval]:
    check_matrices("eig", a)
    dtype = dtypes.complex_of(real_type(a.dtype))
    return [Aval(a.shape[:-1], dtype), *[Aval(a.shape, dtype)] * (left + right)]


def _complex_vectors(rows: Any, imaginary: Any) -> Any:
    """LAPACK's rows of pairs as complex columns."""
    n = shape_of(rows)[-1]
    zero = scalar(0.0, rows)
    first, second = (columns_of(compare(imaginary, zero), n) for compare in (comparison.gt, comparison.lt))
    re = comparison.select(second, _shifted(rows, 1), rows)
    im = comparison.select(first, _shifted(rows, -1), comparison.select(second, arithmetic.neg(rows), zero))
    return matrix_transpose(complex_numbers.complex(re, im))


def _shifted(rows: Any, by: int) -> Any:
    """Every row in place of the one `by` after it; zeros come in."""
    lead = (0,) * (len(shape_of(rows)) - 2)
    return structural.pad(
        rows, scalar(0.0, rows), low=(*lead, by, 0), high=(*lead, -by, 0), interior=(*lead, 0, 0)
    )


def _eig_of(a: Any, left: bool, right: bool) -> list[Any]:
    found = geev(a, left=left, right=right)
    if aval_of(a).dtype.kind == "c":
        return [found[0], *[matrix_transpose(v) for v in found[1:]]]
    re, im, *vectors = found
    return [complex_numbers.complex(re, im), *[_complex_vectors(v, im) for v in vectors]]


def _eig_evaluate(a: Any, left: bool, right: bool) -> list[np.ndarray]:
    found = geev.evaluate(a, left=left, right=right)
    if np.asarray(a).dtype.kind == "c":
        return [found[0], *[np.swapaxes(v, -1, -2) for v in found[1:]]]
    re, im, *vectors = found
    out = []
    for v in vectors:
        before, after = np.roll(v, 1, -2), np.roll(v, -1, -2)
        first, second = im[..., None] > 0, im[..., None] < 0
        out.append(np.where(second, before, v) + 1j * np.where(first, after, np.where(second, -v, 0)))
    return [re + 1j * im, *[np.swapaxes(v, -1, -2).astype((re + 1j * im).dtype) for v in out]]


def _largest(v: Any) -> tuple[Any, Any]:
    """A mask of the largest component of each column, which LAPACK makes real, and these components [..., 1, n]."""
    shape = shape_of(v)
    rows = len(shape) - 2
    if not shape[-1]:
        return v, reductions.reduce_sum(v, axes=(rows,))
    at = reductions.argmax(arithmetic.abs(v), axis=rows, dtype=INT32)
    mask = comparison.eq(structural.iota(dtype=INT32, shape=shape, dimension=rows), rows_of(at, shape[-2]))
    mask = as_complex(mask, v)
    return mask, reductions.reduce_sum(arithmetic.mul(mask, v), axes=(rows,))


def _vectors_jvp(w: Any, v: Any, t: Any) -> tuple[Any, Any]:
    """The tangents of eigenvalues and of vectors of length 1 whose largest component is real."""
    rows = len(shape_of(v)) - 2
    n = shape_of(v)[-1]
    inner = solve(v, matmul(t, v))
    turned = matmul(v, arithmetic.mul(gaps(w), inner))
    mask, size = _largest(v)
    along = real(reductions.reduce_sum(arithmetic.mul(conj(v), turned), axes=(rows,)))
    off = complex_numbers.imag(reductions.reduce_sum(arithmetic.mul(mask, turned), axes=(rows,)))
    c = complex_numbers.complex(arithmetic.neg(along), arithmetic.neg(arithmetic.div(off, real(size))))
    return diagonal(inner), arithmetic.add(turned, arithmetic.mul(v, rows_of(c, n)))


def _eig_jvp(primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
    (a,), (t,) = primals, tangents
    if t is None:
        out = eig(a, **params)
        return out, [None] * len(out)
    left, right = params["left"], params["right"]
    out = eig(a, left=left, right=True)
    w, v = out[0], out[-1]
    t = as_complex(t, w)
    tangent_w, tangent_v = _vectors_jvp(w, v, t) if right else (diagonal(solve(v, matmul(t, v))), None)
    found, moved = [w], [tangent_w]
    if left:
        found.append(out[1])
        moved.append(_vectors_jvp(conj(w), out[1], adjoint(t))[1])
    if right:
        found.append(v)
        moved.append(tangent_v)
    return found, moved


def _vectors_pull(w: Any, v: Any, gw: Any, gv: Any) -> Any:
    """The cotangent of the matrix, by the inner product Re(sum(conj(g) * t))."""
    rows = len(shape_of(v)) - 2
    n = shape_of(v)[-1]
    inner = None if gw is None else diagonal_matrix(gw)
    if gv is not None:
        mask, size = _largest(v)
        h = reductions.reduce_sum(arithmetic.mul(conj(v), gv), axes=(rows,))
        along = rows_of(as_complex(real(h), v), n)
        share = arithmetic.div(complex_numbers.imag(h), real(size))
        off = rows_of(complex_numbers.complex(arithmetic.mul(share, scalar(0.0, share)), share), n)
        of_turned = arithmetic.sub(arithmetic.sub(gv, arithmetic.mul(v, along)), arithmetic.mul(mask, off))
        inner = add(inner, arithmetic.mul(conj(gaps(w)), matmul(v, of_turned, x_adjoint=True)))
    return solve(adjoint(v), matmul(inner, v, y_adjoint=True))


def _eig_vjp(
    needs: Sequence[bool], args: Sequence[Any], params: dict[str, Any]
) -> tuple[Any, Any, list[bool]]:
    (a,) = args
    if not needs[0]:
        out = eig(a, **params)
        return out, None, [False] * len(out)
    left, right = params["left"], params["right"]
    found = eig(a, left=left, right=True)
    w, v = found[0], found[-1]

    def pull(cts: Sequence[Any]) -> list[Any]:
        gw, gr = cts[0], cts[-1] if right else None
        gl = cts[1] if left else None
        out = None
        if gw is not None or gr is not None:
            out = _vectors_pull(w, v, gw, gr)
        if gl is not None:
            out = add(out, adjoint(_vectors_pull(conj(w), found[1], None, gl)))
        if out is None:
            return [None]
        return [out if aval_of(a).dtype.kind == "c" else real(out)]

    out = [w, *([found[1]] if left else []), *([v] if right else [])]
    return out, conjugated(pull), [True] * len(out)


def _apart(phase: float, dtype: Any) -> np.ndarray:
    """Matrices whose eigenvalues are far from each other, for samples."""
    a = waves((2, 3, 3), phase, np.float64)
    a = a + 0.5j * waves((2, 3, 3), phase + 1, np.float64) if np.dtype(dtype).kind == "c" else a
    return (a + np.diag([0.0, 3.0, 7.0])).astype(dtype)


# a -> eigenvalues, and as columns left (vᴴ a = w vᴴ) and right eigenvectors, complex; vectors have length 1, and their
# largest component is real
eig = Primitive(
    "eig",
    shape=_eig_shape,
    evaluate=_eig_evaluate,
    jvp=_eig_jvp,
    vjp=_eig_vjp,
    batch=lambda frame, flags, args, params: ((out := eig(*args, **params)), [True] * len(out)),
    lower=Decompose(_eig_of),
    multiple=True,
    samples=lambda: [
        Sample((_apart(0.4, np.float32)[0],), {"left": False, "right": False}, tolerance=32),
        Sample((_apart(0.4, np.complex64),), {"left": False, "right": False}, tolerance=32),
        Sample((_apart(0.9, np.complex64),), {"left": True, "right": True}, tolerance=64),
        Sample(("f4[2,0,0]",), {"left": True, "right": True}),
    ],
)
