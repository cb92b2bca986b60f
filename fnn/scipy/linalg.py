"""fnn.scipy.linalg: SciPy's names for systems, factors, functions of matrices and special matrices.

Arguments such as overwrite_a and check_finite are accepted and change nothing. Matrices lie along the last two axes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fnn import lax
from fnn import numpy as fnp
from fnn import primitives as P
from fnn.core.source import describe, here
from fnn.errors import ArgumentError, ShapeError
from fnn.numpy import linalg as L
from fnn.numpy.norms import matrices
from fnn.operations.operands import meet
from fnn.primitives.matrices import adjoint, conj
from fnn.scipy.matrix_functions import funm, rsf2csf, sqrtm
from fnn.scipy.special_matrices import (
    block_diag,
    circulant,
    companion,
    convolution_matrix,
    dft,
    fiedler,
    fiedler_companion,
    hadamard,
    hankel,
    helmert,
    hilbert,
    invhilbert,
    invpascal,
    leslie,
    pascal,
    toeplitz,
)
from fnn.transforms.autodiff import jvp_flat

__all__ = [
    "block_diag", "cho_factor", "cho_solve", "cholesky", "circulant", "companion", "convolution_matrix", "det", "dft",
    "eigh", "eigh_tridiagonal", "expm", "expm_frechet", "fiedler", "fiedler_companion", "funm", "hadamard", "hankel",
    "helmert", "hessenberg", "hilbert", "inv", "invhilbert", "invpascal", "leslie", "lu", "lu_factor", "lu_solve",
    "pascal", "polar", "qr", "qr_multiply", "rsf2csf", "schur", "solve", "solve_sylvester", "solve_triangular",
    "sqrtm", "svd", "toeplitz",
]  # fmt: skip


# -- systems ---------------------------------------------------------------------------------------------------------


def inv(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """The inverses of square matrices."""
    return L.inv(a)


def det(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """The determinants of square matrices."""
    return L.det(a)


def solve(
    a: Any, b: Any, lower: bool = False, overwrite_a: bool = False, overwrite_b: bool = False, debug: bool = False,
    check_finite: bool = True, assume_a: str = "gen",
) -> Any:  # fmt: skip
    """x with a @ x = b, b [..., n] or [..., n, k]. assume_a: "gen", "sym", "her", or "pos": by a Cholesky factor, from
    one triangle.

    >>> import fnn.numpy as fnp
    >>> from fnn.scipy import linalg
    >>> linalg.solve(fnp.array([[4.0, 1.0], [1.0, 3.0]]), fnp.array([1.0, 2.0]), assume_a="pos").round(4)
    Array([0.0909, 0.6364], dtype=float32)
    """
    if assume_a not in ("gen", "sym", "her", "pos"):
        raise ArgumentError(
            f'solve: assume_a is {assume_a!r}, at {describe(here())}; "gen", "sym", "her", "pos" are there'
        )
    return cho_solve(cho_factor(a, lower=lower), b) if assume_a == "pos" else L.solve(a, b)


def solve_triangular(
    a: Any, b: Any, trans: int | str = 0, lower: bool = False, unit_diagonal: bool = False, overwrite_b: bool = False,
    debug: Any = None, check_finite: bool = True,
) -> Any:  # fmt: skip
    """x with op(a) @ x = b, a triangular; trans: 0 or "N", 1 or "T" (transposed), 2 or "C" (and conjugate)."""
    if trans not in (0, 1, 2, "N", "T", "C"):
        raise ArgumentError(
            f"solve_triangular: trans is {trans!r}, at {describe(here())}; 0, 1 and 2 are there"
        )
    a, b, vector = _system("solve_triangular", a, b)
    a = conj(a) if trans in (2, "C") else a
    flags = {"left_side": True, "lower": bool(lower), "unit_diagonal": bool(unit_diagonal)}
    out = P.triangular_solve(a, b, transpose_a=trans not in (0, "N"), **flags)
    return fnp.squeeze(out, -1) if vector else out


def _system(name: str, a: Any, b: Any) -> tuple[Any, Any, bool]:
    """Matrices and right-hand sides of one dtype and equal leading axes; whether b was a vector."""
    a, b = meet(name, matrices(name, a, square=True), fnp.asarray(b), mode="inexact", spread=False)
    b = fnp.asarray(b).astype(fnp.asarray(a).dtype)
    vector = b.ndim == 1 or (b.ndim == a.ndim - 1 and b.shape == a.shape[:-1])
    b = b[..., None] if vector else b
    if b.shape[-2] != a.shape[-1]:
        raise ShapeError(f"{name}: {a.aval} and right-hand sides {b.aval} do not fit, at {describe(here())}")
    a, b = L.spread_batches(name, a, b)
    return a, b, vector


def cholesky(a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """The upper factor U with U.T @ U = a, or with lower L with L @ L.T = a; NaN where a is not positive definite."""
    return L.cholesky(a, upper=not lower)


def cho_factor(
    a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> tuple[Any, bool]:
    """(a Cholesky factor, whether it is the lower one), for `cho_solve`; only that triangle of a is read."""
    a = matrices("cho_factor", a, square=True)
    factor = P.cholesky(a if lower else adjoint(a))
    return factor if lower else adjoint(factor), bool(lower)


def cho_solve(
    c_and_lower: tuple[Any, bool], b: Any, overwrite_b: bool = False, check_finite: bool = True
) -> Any:
    """x with a @ x = b, from what `cho_factor` gives for a."""
    c, lower = c_and_lower
    first = solve_triangular(c, b, trans=0 if lower else 2, lower=lower)
    return solve_triangular(c, first, trans=2 if lower else 0, lower=lower)


def lu_factor(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> tuple[Any, Any]:
    """(L and U in one matrix, pivots counted from 0), for `lu_solve`."""
    return lax.linalg.lu(matrices("lu_factor", a))[:2]


def lu_solve(
    lu_and_piv: tuple[Any, Any], b: Any, trans: int = 0, overwrite_b: bool = False, check_finite: bool = True
) -> Any:
    """x with op(a) @ x = b, from what `lu_factor` gives for a; trans: 0, 1 (transposed), 2 (and conjugate)."""
    factors, pivots = lu_and_piv
    n = fnp.asarray(factors).shape[-1]
    factors, b, vector = _system("lu_solve", factors, b)
    order = lax.linalg.lu_pivots_to_permutation(fnp.broadcast_to(pivots, factors.shape[:-1]), n)
    unit = {"lower": True, "unit_diagonal": True}
    if trans == 0:
        x = fnp.take_along_axis(b, order[..., None], -2)
        x = solve_triangular(factors, solve_triangular(factors, x, **unit))
    elif trans in (1, 2):
        x = solve_triangular(factors, solve_triangular(factors, b, trans=trans), trans=trans, **unit)
        x = fnp.take_along_axis(x, fnp.argsort(order, axis=-1)[..., None], -2)
    else:
        raise ArgumentError(f"lu_solve: trans is {trans!r}, at {describe(here())}; 0, 1 and 2 are there")
    return fnp.squeeze(x, -1) if vector else x


def solve_sylvester(A: Any, B: Any, C: Any, *, method: str = "schur", tol: float = 1e-8) -> Any:
    """X with A @ X + X @ B = C, by Schur forms. method and tol are accepted and change nothing."""
    A, B, C = (
        matrices("solve_sylvester", x) for x in meet("solve_sylvester", A, B, C, mode="inexact", spread=False)
    )
    return P.sylvester(A, B, C)


# -- factors ---------------------------------------------------------------------------------------------------------


def lu(
    a: Any, permute_l: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> tuple[Any, ...]:
    """P, L, U with a = P @ L @ U; with permute_l P @ L and U."""
    a = matrices("lu", a)
    factors, _, order = lax.linalg.lu(a)
    m, n = a.shape[-2:]
    k = min(m, n)
    lower = fnp.tril(factors[..., :, :k], -1) + fnp.eye(m, k, dtype=a.dtype)
    upper = fnp.triu(factors[..., :k, :])
    permutation = (fnp.arange(m)[:, None] == order[..., None, :]).astype(a.dtype)
    return (permutation @ lower, upper) if permute_l else (permutation, lower, upper)


def qr(
    a: Any, overwrite_a: bool = False, lwork: Any = None, mode: str = "full", pivoting: bool = False,
    check_finite: bool = True,
) -> tuple[Any, ...]:  # fmt: skip
    """Q, R; with pivoting also p with a[:, p] = Q @ R. mode: "full", "economic", or "r" (R alone)."""
    if mode not in ("full", "economic", "r"):
        raise ArgumentError(
            f'qr: mode is {mode!r}, at {describe(here())}; "full", "economic" and "r" are there'
        )
    found = lax.linalg.qr(matrices("qr", a), pivoting=pivoting, full_matrices=mode != "economic")
    return found[1:] if mode == "r" else found


def qr_multiply(
    a: Any, c: Any, mode: str = "right", pivoting: bool = False, conjugate: bool = False, overwrite_a: bool = False,
    overwrite_c: bool = False,
) -> tuple[Any, ...]:  # fmt: skip
    """(c @ Q (mode "right") or Q @ c ("left"), R) of the economic factors of a; conjugate: with Q's conjugate."""
    q, *rest = qr(a, mode="economic", pivoting=pivoting)
    q = conj(q) if conjugate else q
    return (c @ q if mode == "right" else q @ c, *rest)


def svd(
    a: Any, full_matrices: bool = True, compute_uv: bool = True, overwrite_a: bool = False, check_finite: bool = True,
    lapack_driver: str = "gesdd",
) -> Any:  # fmt: skip
    """As fnn.numpy.linalg.svd."""
    found = L.svd(a, full_matrices, compute_uv)
    return tuple(found) if compute_uv else found


def eigh(
    a: Any, b: Any = None, lower: bool = True, eigvals_only: bool = False, overwrite_a: bool = False,
    overwrite_b: bool = False, turbo: bool = True, eigvals: None = None, type: int = 1, check_finite: bool = True,
) -> Any:  # fmt: skip
    """Eigenvalues and vectors of a v = w v, or of a v = w b v with b positive definite (type 1), from one triangle."""
    if type != 1 or eigvals is not None:
        raise ArgumentError(f"eigh: type={type} and eigvals={eigvals} are not there, at {describe(here())}")
    a = matrices("eigh", a, square=True)
    a = a if lower else adjoint(a)
    if b is None:
        found = P.eigh(a, vectors=not eigvals_only)
        return found[0] if eigvals_only else tuple(found)
    factor = cho_factor(b, lower=lower)[0]
    factor = factor if lower else adjoint(factor)
    below = fnp.tril(a, -1)
    whole = below + adjoint(fnp.tril(a))
    inner = solve_triangular(factor, adjoint(solve_triangular(factor, whole, lower=True)), lower=True)
    found = P.eigh(inner, vectors=not eigvals_only)
    if eigvals_only:
        return found[0]
    return found[0], solve_triangular(factor, found[1], trans=2, lower=True)


def eigh_tridiagonal(
    d: Any, e: Any, *, eigvals_only: bool = False, select: str = "a", select_range: tuple[Any, Any] | None = None,
    tol: float | None = None, key: Any = None,
) -> Any:  # fmt: skip
    """Eigenvalues, rising, and vectors of the symmetric tridiagonal matrix with diagonal d [n] and e [n - 1] beside it.

    select: "a" all, or "i": those numbered select_range, both ends included."""
    d, e = fnp.asarray(d), fnp.asarray(e)
    if select not in ("a", "i") or (select == "i") != (select_range is not None):
        raise ArgumentError(
            f'eigh_tridiagonal: select={select!r}, at {describe(here())}; "a", or "i" with a range'
        )
    found = eigh(fnp.diag(d) + fnp.diag(e, -1), eigvals_only=eigvals_only)
    kept = slice(None) if select_range is None else slice(select_range[0], select_range[1] + 1)
    return found[kept] if eigvals_only else (found[0][kept], found[1][:, kept])


def schur(a: Any, output: str = "real") -> tuple[Any, Any]:
    """T, Z with a = Z @ T @ Z.H, T triangular (output "complex"), or up to blocks of two ("real"). No derivative."""
    if output not in ("real", "complex"):
        raise ArgumentError(
            f'schur: output is {output!r}, at {describe(here())}; "real" and "complex" are there'
        )
    a = matrices("schur", a, square=True)
    if output == "complex" and a.dtype.kind != "c":
        a = a.astype(np.result_type(a.dtype, np.complex64))
    t, z = P.schur(a, vectors=True)
    return t, z


def hessenberg(a: Any, *, calc_q: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """H, zero below its first lower diagonal, and with calc_q Q with a = Q @ H @ Q.H. No derivative."""
    factors, taus = P.hessenberg(matrices("hessenberg", a, square=True))
    h = fnp.triu(factors, -1)
    if not calc_q:
        return h
    n = h.shape[-1]
    if n < 2:
        return h, fnp.broadcast_to(fnp.eye(n, dtype=h.dtype), h.shape)
    inner = P.householder_product(factors[..., 1:, :-1], taus)
    q = fnp.pad(inner, [(0, 0)] * (inner.ndim - 2) + [(1, 0), (1, 0)])
    return h, q + fnp.diag(fnp.asarray(np.eye(1, n)[0], h.dtype))


def polar(
    a: Any,
    side: str = "right",
    *,
    method: str = "svd",
    eps: float | None = None,
    max_iterations: int | None = None,
) -> tuple[Any, Any]:
    """u, p with a = u @ p (side "right") or p @ u ("left"), u with orthonormal columns or rows, p semidefinite."""
    if side not in ("right", "left"):
        raise ArgumentError(f'polar: side is {side!r}, at {describe(here())}; "right" and "left" are there')
    u, s, vh = L.svd(a, full_matrices=False)
    along = vh if side == "right" else adjoint(u)
    return u @ vh, adjoint(along) @ (s[..., :, None] * along)


# -- functions of matrices -------------------------------------------------------------------------------------------

# Numerators of the Padé approximant of order 13, and up to which norm it is exact to rounding: N. J. Higham, "The scaling
# and squaring method for the matrix exponential revisited", 2005.
_PADE = (
    64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0, 129060195264000.0,
    10559470521600.0, 670442572800.0, 33522128640.0, 1323241920.0, 40840800.0, 960960.0, 16380.0, 182.0, 1.0,
)  # fmt: skip
_REACH = 5.371920351148152


def expm(A: Any, *, upper_triangular: bool = False, max_squarings: int = 16) -> Any:
    """The exponentials of square matrices, by scaling, a Padé approximant and squaring; NaN where more than max_squarings
    would be needed. upper_triangular is accepted and changes nothing.

    >>> import fnn.numpy as fnp
    >>> from fnn.scipy import linalg
    >>> linalg.expm(fnp.array([[0.0, 1.0], [0.0, 0.0]]))
    Array([[1., 1.],
           [0., 1.]], dtype=float32)
    """
    a = matrices("expm", A, square=True)
    n = a.shape[-1]
    if not n:
        return a
    size = lax.stop_gradient(fnp.max(fnp.sum(abs(a), axis=-2), axis=-1))
    needed = fnp.maximum(0.0, fnp.ceil(fnp.log2(size / _REACH)))
    times = fnp.minimum(needed, float(max_squarings))[..., None, None]
    a = a * fnp.exp2(-times).astype(a.dtype)
    eye = fnp.eye(n, dtype=a.dtype)
    b = [c / _PADE[0] for c in _PADE]
    a2 = a @ a
    a4 = a2 @ a2
    a6 = a4 @ a2
    u = a @ (a6 @ (b[13] * a6 + b[11] * a4 + b[9] * a2) + b[7] * a6 + b[5] * a4 + b[3] * a2 + b[1] * eye)
    v = a6 @ (b[12] * a6 + b[10] * a4 + b[8] * a2) + b[6] * a6 + b[4] * a4 + b[2] * a2 + b[0] * eye
    out = L.solve(v - u, v + u)
    out = lax.fori_loop(0, max_squarings, lambda i, x: fnp.where(i < times, x @ x, x), out)
    return fnp.where((needed <= max_squarings)[..., None, None], out, math.nan)


def expm_frechet(A: Any, E: Any, *, method: str | None = None, compute_expm: bool = True) -> Any:
    """(expm(A), its derivative along E), or with compute_expm=False the derivative alone."""
    a = matrices("expm_frechet", A, square=True)
    out, tangent = jvp_flat(lambda x: [expm(x)], [a], [fnp.asarray(E, a.dtype)])
    return (out[0], tangent[0]) if compute_expm else tangent[0]
