"""Factorisations and solves behind `fnn.numpy.linalg`, under JAX's names. Matrices lie along the last two axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fnn import primitives as P
from fnn.core.array import Array, as_array
from fnn.core.source import describe, here
from fnn.core.trace import aval_of
from fnn.errors import ArgumentError, ShapeError
from fnn.primitives import matrices

__all__ = [
    "cholesky", "cholesky_update", "eig", "eigh", "hessenberg", "householder_product", "lu", "lu_pivots_to_permutation",
    "ormqr", "qr", "schur", "svd", "symmetric_product", "triangular_solve", "tridiagonal", "tridiagonal_solve",
]  # fmt: skip


def _symmetrized(a: Any) -> Any:
    return P.mul(P.add(a, matrices.adjoint(a)), matrices.scalar(0.5, a))


def cholesky(a: Any, *, symmetrize_input: bool = True) -> Array:
    """The lower factor L of a symmetric positive definite matrix a = L L^T, over leading axes; NaN where it
    is not.

    symmetrize_input: use (a + a^T) / 2; otherwise only the lower triangle is read."""
    a = as_array(a)
    return P.cholesky(_symmetrized(a) if symmetrize_input else a)


def cholesky_update(r_matrix: Any, w_vector: Any) -> Array:
    """The upper factor of R^T R + w w^T from the upper factor R [n, n] and w [n]."""
    r, w = as_array(r_matrix), as_array(w_vector)
    n = r.shape[-1] if r.ndim == 2 else -1
    if w.shape != (n,) or r.shape != (n, n):
        raise ShapeError(f"cholesky_update: {aval_of(r)} and {aval_of(w)} do not fit, at {describe(here())}")
    stacked = P.concatenate(r, P.reshape(w, shape=(1, n)), axis=0)
    upper = P.qr(stacked, full_matrices=False, pivoting=False)[1]
    signs = P.sign(matrices.diagonal(upper))
    one = matrices.scalar(1.0, r)
    return P.mul(matrices.columns_of(P.select(P.eq(signs, matrices.scalar(0.0, r)), one, signs), n), upper)


def triangular_solve(
    a: Any,
    b: Any,
    *,
    left_side: bool = False,
    lower: bool = False,
    transpose_a: bool = False,
    conjugate_a: bool = False,
    unit_diagonal: bool = False,
) -> Array:
    """x with op(a) x = b (left_side) or x op(a) = b, where a is triangular, over leading axes; b may lack its last axis
    with left_side (or its last but one without)."""
    a, b = as_array(a), as_array(b)
    a = matrices.conj(a) if conjugate_a else a
    vector = a.ndim == b.ndim + 1
    if vector:
        b = P.reshape(b, shape=(*b.shape, 1) if left_side else (*b.shape[:-1], 1, b.shape[-1]))
    out = P.triangular_solve(
        a,
        b,
        left_side=bool(left_side),
        lower=bool(lower),
        transpose_a=bool(transpose_a),
        unit_diagonal=bool(unit_diagonal),
    )
    if not vector:
        return out
    return P.reshape(out, shape=out.shape[:-1] if left_side else (*out.shape[:-2], out.shape[-1]))


def lu(x: Any) -> tuple[Array, Array, Array]:
    """L and U in one matrix, the pivots (row i was exchanged with row pivots[i], counted from 0) and the permutation p of
    rows with x[p] = L U. x is [..., m, n]."""
    x = as_array(x)
    factors, pivots = P.lu(x)
    pivots = P.sub(pivots, np.asarray(1, np.int32))
    return factors, pivots, lu_pivots_to_permutation(pivots, x.shape[-2])


def lu_pivots_to_permutation(pivots: Any, permutation_size: int) -> Array:
    """The permutation [..., permutation_size] that exchanging row i with row pivots[i], in order, makes."""
    return P.pivots_to_permutation(as_array(pivots), size=int(permutation_size), inverse=False)


def qr(
    x: Any, *, pivoting: bool = False, full_matrices: bool = True, use_magma: bool | None = None
) -> tuple[Array, ...]:
    """Q, R with x = Q R; with pivoting also p, and x[:, p] = Q R. full_matrices: Q is square."""
    return tuple(P.qr(as_array(x), full_matrices=bool(full_matrices), pivoting=bool(pivoting)))


def householder_product(a: Any, taus: Any) -> Array:
    """The first columns of the product of the reflectors below the diagonals of a [..., m, n], with factors taus [..., k]."""
    return P.householder_product(as_array(a), as_array(taus))


def ormqr(a: Any, taus: Any, c: Any, *, left: bool = True, transpose: bool = False) -> Array:
    """Q c (left) or c Q, Q^H with transpose, where Q is the product of the reflectors of `geqrf`: a [..., m, k], taus."""
    return P.ormqr(as_array(a), as_array(taus), as_array(c), left=bool(left), transpose=bool(transpose))


def eigh(
    x: Any,
    *,
    lower: bool = True,
    symmetrize_input: bool = True,
    sort_eigenvalues: bool = True,
    subset_by_index: tuple[int, int] | None = None,
    implementation: Any = None,
) -> tuple[Array, Array]:
    """Eigenvectors, as columns, and eigenvalues, rising, of symmetric matrices: (v, w).

    symmetrize_input: use (x + x^T) / 2; otherwise only the lower (or upper) triangle is read."""
    x = as_array(x)
    x = _symmetrized(x) if symmetrize_input else x if lower else matrices.adjoint(x)
    w, v = P.eigh(x, vectors=True)
    if subset_by_index is not None:
        kept = slice(*subset_by_index)
        w, v = w[..., kept], v[..., :, kept]
    return v, w


def svd(
    x: Any,
    *,
    full_matrices: bool = True,
    compute_uv: bool = True,
    subset_by_index: tuple[int, int] | None = None,
    algorithm: Any = None,
) -> Any:
    """U, singular values (falling) and V^H of matrices; without compute_uv the singular values alone."""
    x = as_array(x)
    if not compute_uv:
        s = P.svd(x, full_matrices=False, vectors=False)[0]
        return s if subset_by_index is None else s[..., slice(*subset_by_index)]
    s, u, vh = P.svd(x, full_matrices=bool(full_matrices), vectors=True)
    if subset_by_index is not None:
        kept = slice(*subset_by_index)
        s, u, vh = s[..., kept], u[..., :, kept], vh[..., kept, :]
    return u, s, vh


def symmetric_product(
    a_matrix: Any, c_matrix: Any, *, alpha: float = 1.0, beta: float = 0.0, symmetrize_output: bool = False
) -> Array:
    """alpha a a^T + beta c. symmetrize_output is accepted: both triangles of the result are always there."""
    a, c = as_array(a_matrix), as_array(c_matrix)
    product = P.mul(matrices.matmul(a, matrices.matrix_transpose(a)), matrices.scalar(alpha, a))
    return P.add(product, P.mul(c, matrices.scalar(beta, c))) if beta else product


def tridiagonal_solve(dl: Any, d: Any, du: Any, b: Any, *, perturb_singular: bool = False) -> Array:
    """x with T x = b, where T has the diagonal d [..., n], dl[1:] below it and du[:-1] above it, and b is [..., n, k].

    NaN where T is singular, unless perturb_singular, which makes pivots of 0 tiny instead and is not there."""
    if perturb_singular:
        raise ArgumentError(f"tridiagonal_solve: perturb_singular is not there, at {describe(here())}")
    dl, d, du = as_array(dl), as_array(d), as_array(du)
    if not dl.shape == d.shape == du.shape or not d.ndim:
        shapes = ", ".join(str(aval_of(x)) for x in (dl, d, du))
        raise ShapeError(f"tridiagonal_solve: the diagonals {shapes} differ in shape, at {describe(here())}")
    return P.tridiagonal_solve(d, _cut(dl, 1, d.shape[-1]), _cut(du, 0, max(d.shape[-1] - 1, 0)), as_array(b))


def _cut(x: Any, first: int, last: int) -> Any:
    shape: Sequence[int] = x.shape
    start = (*[0] * (len(shape) - 1), min(first, last))
    return P.slice(x, start=start, limit=(*shape[:-1], last), step=(1,) * len(shape))


def eig(
    x: Any,
    *,
    compute_left_eigenvectors: bool = True,
    compute_right_eigenvectors: bool = True,
    enable_eigvec_derivs: bool = True,
    implementation: Any = None,
) -> list[Array]:
    """Eigenvalues, and as columns left (v^H x = w v^H) and right eigenvectors of square matrices, all complex.

    Vectors have length 1 and a real largest component, and their derivative is of these."""
    left, right = bool(compute_left_eigenvectors), bool(compute_right_eigenvectors)
    return list(P.eig(as_array(x), left=left, right=right))


def schur(
    x: Any, *, compute_schur_vectors: bool = True, sort_eig_vals: bool = False, select_callable: Any = None
) -> tuple[Array, ...]:
    """T and Z with x = Z T Z^H; T alone without compute_schur_vectors. Of real matrices T has blocks of two.

    Sorted eigenvalues are not there. No derivative."""
    if sort_eig_vals or select_callable is not None:
        raise ArgumentError(f"schur: sorted eigenvalues are not there, at {describe(here())}")
    return tuple(P.schur(as_array(x), vectors=bool(compute_schur_vectors)))


def hessenberg(a: Any) -> tuple[Array, Array]:
    """The Hessenberg form with reflectors below it, and their factors: what `householder_product` takes. No derivative."""
    h, taus = P.hessenberg(as_array(a))
    return h, taus


def tridiagonal(a: Any, *, lower: bool = True) -> tuple[Array, Array, Array, Array]:
    """(reflectors, diagonal, diagonal beside it, factors) of the tridiagonal form of symmetric matrices. No derivative."""
    a = as_array(a)
    reflectors, d, e, taus = P.tridiagonal(a if lower else matrices.adjoint(a))
    return reflectors, d, e, taus
