"""fnn.numpy.linalg: factorisations, systems, eigenvalues, norms and products of matrices.

Matrices lie along the last two axes, all others are a batch. Numbers are float32 or float64 (integers and 16-bit floats
become float32). LAPACK computes, also inside of compiled programs; what it cannot compute is NaN.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from fnn import dtypes
from fnn.core.source import describe, here
from fnn.core.trace import Tracer, aval_of
from fnn.errors import ArgumentError, ShapeError
from fnn.numpy.creation import triu
from fnn.numpy.linear import cross, matrix_power
from fnn.numpy.norms import cond, matrices, matrix_norm, matrix_rank, norm, svdvals, vector_norm
from fnn.operations.creation import asarray
from fnn.operations.elementwise import BINARY, UNARY
from fnn.operations.operands import array_of, broadcast_shapes, meet, to_dtype, to_shape
from fnn.operations.products import matmul, outer, tensordot, vecdot
from fnn.operations.reductions import max_of, sum
from fnn.operations.selection import diagonal as _diagonal
from fnn.operations.selection import trace as _trace
from fnn.operations.shaping import expand_dims, matrix_transpose, squeeze, to
from fnn.primitives.determinants import det as det_p
from fnn.primitives.determinants import slogdet as slogdet_p
from fnn.primitives.linalg import cholesky as cholesky_p
from fnn.primitives.linear_systems import solve as solve_p
from fnn.primitives.matrices import adjoint, identity
from fnn.primitives.nonsymmetric import eig as eig_p
from fnn.primitives.orthogonal import qr as qr_p
from fnn.primitives.pseudo_inverse import pseudo_inverse
from fnn.primitives.spectral import eigh as eigh_p
from fnn.primitives.spectral import svd as svd_p

__all__ = [
    "cholesky", "cond", "cross", "det", "diagonal", "eig", "eigh", "eigvals", "eigvalsh", "inv", "lstsq", "matmul",
    "matrix_norm", "matrix_power", "matrix_rank", "matrix_transpose", "multi_dot", "norm", "outer", "pinv", "qr", "slogdet",
    "solve", "svd", "svdvals", "tensordot", "tensorinv", "tensorsolve", "trace", "vecdot", "vector_norm",
]  # fmt: skip


class EigResult(NamedTuple):
    """Eigenvalues, and as columns the eigenvectors, complex."""

    eigenvalues: Any
    eigenvectors: Any


class EighResult(NamedTuple):
    """Eigenvalues, rising, and as columns the eigenvectors."""

    eigenvalues: Any
    eigenvectors: Any


class QRResult(NamedTuple):
    """Orthonormal columns, and an upper triangular matrix."""

    Q: Any
    R: Any


class SlogdetResult(NamedTuple):
    """The sign of a determinant, and the logarithm of its size."""

    sign: Any
    logabsdet: Any


class SVDResult(NamedTuple):
    """Left singular vectors, singular values, falling, and right singular vectors, adjoint."""

    U: Any
    S: Any
    Vh: Any


def diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """The diagonals of matrices, [..., m, n] -> [..., k]."""
    return _diagonal(x, offset, -2, -1)


def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """The sums of the diagonals of matrices, [..., m, n] -> [...]."""
    return _trace(x, offset, -2, -1, dtype)


def cholesky(a: Any, *, upper: bool = False, symmetrize_input: bool = True) -> Any:
    """The lower triangular L with L @ L.T = a, for symmetric positive definite a [..., n, n]; NaN where a is not.

    upper: the upper triangular factor. symmetrize_input: use (a + a.T) / 2; otherwise only the lower triangle is read.

    >>> import fnn.numpy as fnp
    >>> fnp.linalg.cholesky(fnp.array([[4.0, 2.0], [2.0, 2.0]]))
    Array([[2., 0.],
           [1., 1.]], dtype=float32)
    """
    lower = cholesky_p(_symmetrized(matrices("cholesky", a, square=True), symmetrize_input))
    if not upper:
        return lower
    out = adjoint(lower)
    return triu(out) if aval_of(out).dtype.kind == "c" else out  # conjugated zeros are -0


def _symmetrized(x: Any, wanted: bool = True) -> Any:
    return BINARY["multiply"](BINARY["add"](x, adjoint(x)), 0.5) if wanted else x


# -- systems ---------------------------------------------------------------------------------------------------------


def solve(a: Any, b: Any) -> Any:
    """x with a @ x = b, for square a [..., n, n] and b [n] or [..., n, k]; leading axes are broadcast.

    By LU factors with row exchanges (LAPACK's getrf and getrs); singular a give infinities and NaN. A gradient costs one
    more solution with the same factors. Raises ShapeError where a and b do not fit.

    >>> import fnn, fnn.numpy as fnp
    >>> a, b = fnp.array([[2.0, 1.0], [1.0, 3.0]]), fnp.array([3.0, 5.0])
    >>> fnp.linalg.solve(a, b)
    Array([0.8, 1.4], dtype=float32)
    >>> fnn.grad(lambda b: fnp.linalg.solve(a, b).sum())(b)
    Array([0.4, 0.2], dtype=float32)
    """
    a, b = _met("solve", a, b)
    vector = aval_of(b).ndim == 1
    b = expand_dims(b, -1) if vector else b
    n = aval_of(a).shape[-1]
    if aval_of(b).shape[-2] != n:
        raise ShapeError(
            f"solve: {aval_of(a)} and right-hand sides {aval_of(b)} do not fit, at {describe(here())}; b must be [{n}] or "
            f"[..., {n}, k]"
        )
    a, b = spread_batches("solve", a, b)
    out = solve_p(a, b)
    return squeeze(out, -1) if vector else out


def _met(name: str, a: Any, b: Any) -> tuple[Any, Any]:
    """Two operands in one inexact dtype, of which the first holds square matrices."""
    a, b = meet(name, matrices(name, a, square=True), asarray(b), mode="inexact", spread=False)
    b = to_dtype(asarray(b), aval_of(a).dtype)
    if not aval_of(b).ndim:
        raise ShapeError(f"{name}: the right-hand side {aval_of(b)} is no array, at {describe(here())}")
    return a, b


def spread_batches(name: str, *xs: Any) -> list[Any]:
    """Matrices with their leading axes broadcast against each other."""
    lead = broadcast_shapes(name, *[aval_of(x).shape[:-2] for x in xs])
    return [to_shape(x, (*lead, *aval_of(x).shape[-2:])) for x in xs]


def inv(a: Any) -> Any:
    """The inverses of square matrices [..., n, n]; infinities and NaN where there is none. To solve systems, use `solve`."""
    a = matrices("inv", a, square=True)
    return solve_p(a, identity(a, aval_of(a).shape[-1]))


def det(a: Any) -> Any:
    """The determinants of square matrices, [..., n, n] -> [...]; the derivative holds for singular matrices too."""
    a = matrices("det", a, square=True)
    n = aval_of(a).shape[-1]
    if not isinstance(a, Tracer) or n not in (2, 3):
        return det_p(a)
    # a few products, in a compiled program part of what is around them
    (m, *rest) = [[a[..., i, j] for j in range(n)] for i in range(n)]
    if n == 2:
        return m[0] * rest[0][1] - m[1] * rest[0][0]
    minors = [rest[0][i] * rest[1][j] - rest[0][j] * rest[1][i] for i, j in ((1, 2), (0, 2), (0, 1))]
    return m[0] * minors[0] - m[1] * minors[1] + m[2] * minors[2]


def slogdet(a: Any, *, method: str | None = None) -> SlogdetResult:
    """sign and log(abs(det a)) of square matrices, [..., n, n] -> [...] each; 0 and -inf where a is singular.

    method: "lu", the only one there is. Where the determinant itself would overflow, this does not.

    >>> import fnn.numpy as fnp
    >>> sign, log = fnp.linalg.slogdet(fnp.array([[0.0, 2.0], [2.0, 0.0]]))
    >>> float(sign), round(float(log), 4)
    (-1.0, 1.3863)
    """
    if method not in (None, "lu", "qr"):
        raise ArgumentError(f'slogdet: method {method!r}, at {describe(here())}; there is "lu"')
    return SlogdetResult(*slogdet_p(matrices("slogdet", a, square=True)))


def pinv(a: Any, rtol: Any = None, hermitian: bool = False, *, rcond: Any = None) -> Any:
    """The Moore-Penrose inverses of matrices, [..., m, n] -> [..., n, m], by singular values.

    rtol (or rcond): what part of the largest counts as 0, [...]; 10 max(m, n) eps by default. hermitian is accepted."""
    a = matrices("pinv", a)
    return pseudo_inverse(a, _tolerance(a, rtol if rtol is not None else rcond, 10.0))


def _tolerance(a: Any, rtol: Any, factor: float) -> Any:
    aval = aval_of(a)
    dtype = dtypes.finfo(aval.dtype).dtype
    if rtol is None:
        rtol = factor * max(aval.shape[-2:]) * float(dtypes.finfo(aval.dtype).eps)
    return to_shape(to_dtype(asarray(rtol), np.dtype(dtype)), aval.shape[:-2])


def lstsq(a: Any, b: Any, rcond: Any = None, *, numpy_resid: bool = False) -> tuple[Any, Any, Any, Any]:
    """x of the least norm that makes norm(b - a @ x) least, for a [m, n] and b [m] or [m, k].

    Gives x, the squared residuals [k] (empty where the rank is less than n, or m <= n, only with numpy_resid), the rank
    and the singular values of a. rcond: what part of the largest singular value counts as 0; max(m, n) eps by default."""
    a, b = matrices("lstsq", a), asarray(b)
    a, b = meet("lstsq", a, b, mode="inexact", spread=False)
    b = to_dtype(asarray(b), aval_of(a).dtype)
    shape, vector = aval_of(a).shape, aval_of(b).ndim == 1
    if len(shape) != 2 or aval_of(b).ndim not in (1, 2) or aval_of(b).shape[0] != shape[0]:
        raise ShapeError(
            f"lstsq: {aval_of(a)} and {aval_of(b)} do not fit, at {describe(here())}; a must be [m, n], b [m] or [m, k]; "
            "fnn.vmap solves batches"
        )
    rtol = _tolerance(
        a, None if rcond is None or (isinstance(rcond, (int, float)) and rcond < 0) else rcond, 1.0
    )
    columns = expand_dims(b, -1) if vector else b
    x = matmul(pseudo_inverse(a, rtol), columns)
    s = svd_p(a, full_matrices=False, vectors=True)[0]  # with vectors: the same call as the inverse's
    rank = sum(
        to_dtype(BINARY["greater"](s, BINARY["multiply"](max_of(s, initial=0.0), rtol)), dtypes.default_int())
    )
    off = BINARY["subtract"](columns, matmul(a, x))
    residuals = sum(UNARY["square"](UNARY["absolute"](off)), 0)
    if numpy_resid and (shape[0] <= shape[1] or int(rank) < shape[1]):
        residuals = residuals[:0]
    return squeeze(x, -1) if vector else x, residuals, rank, s


def tensorsolve(a: Any, b: Any, axes: tuple[int, ...] | None = None) -> Any:
    """x with tensordot(a, x, x.ndim) = b. axes: those of a that are moved to its end first."""
    a, b = array_of("tensorsolve", a), array_of("tensorsolve", b)
    if axes is not None:
        from fnn.operations.shaping import moveaxis

        a = moveaxis(a, axes, tuple(range(aval_of(a).ndim - len(axes), aval_of(a).ndim)))
    shape = aval_of(a).shape[aval_of(b).ndim :]
    size = int(np.prod(shape))
    if aval_of(a).size != size * size:
        raise ShapeError(
            f"tensorsolve: {aval_of(a)} and {aval_of(b)} make no square system, at {describe(here())}"
        )
    return to(solve(to(a, (size, size)), to(b, (size,))), shape)


def tensorinv(a: Any, ind: int = 2) -> Any:
    """The inverse of the linear map tensordot(a, ., ind), where the first ind axes of a count its results."""
    a = array_of("tensorinv", a)
    if ind <= 0:
        raise ArgumentError(f"tensorinv: ind={ind}, at {describe(here())}; it must be positive")
    shape = aval_of(a).shape
    rows = int(np.prod(shape[:ind]))
    if aval_of(a).size != rows * rows:
        raise ShapeError(f"tensorinv: {aval_of(a)} with ind={ind} is no square map, at {describe(here())}")
    return to(inv(to(a, (rows, rows))), (*shape[ind:], *shape[:ind]))


# -- factors ---------------------------------------------------------------------------------------------------------


def qr(a: Any, mode: str = "reduced") -> Any:
    """Q with orthonormal columns and upper triangular R with a = Q @ R, for a [..., m, n].

    mode: "reduced" (Q [m, k], R [k, n], k = min(m, n)), "complete" (k = m), "r" (R alone), or "raw": the reflectors,
    transposed, and their factors, as LAPACK has them. Complete Q have no derivative where m > n.

    >>> import fnn.numpy as fnp
    >>> Q, R = fnp.linalg.qr(fnp.array([[3.0, 1.0], [4.0, 2.0]]))
    >>> fnp.round(Q @ R, 4)
    Array([[3., 1.],
           [4., 2.]], dtype=float32)
    """
    a = matrices("qr", a)
    if mode == "raw":
        from fnn.primitives.orthogonal import geqrf

        factors, taus = geqrf(a)
        return QRResult(matrix_transpose(factors), taus)
    if mode not in ("reduced", "complete", "r", "full"):
        raise ArgumentError(
            f'qr: mode {mode!r}, at {describe(here())}; "reduced", "complete", "r" and "raw" are there'
        )
    q, r = qr_p(a, full_matrices=mode in ("complete", "full"), pivoting=False)
    return r if mode == "r" else QRResult(q, r)


def svd(
    a: Any,
    full_matrices: bool = True,
    compute_uv: bool = True,
    hermitian: bool = False,
    subset_by_index: tuple[int, int] | None = None,
) -> Any:
    """U, S, Vh with a = U @ diag(S) @ Vh, for a [..., m, n]; S falls.

    full_matrices: U [m, m] and Vh [n, n], which have no derivative unless m = n; else U [m, k] and Vh [k, n], k = min(m,
    n). compute_uv: False gives S alone. subset_by_index: keep these, (first, last + 1). Where singular values are equal,
    the derivative of their vectors is infinite or NaN.

    >>> import fnn.numpy as fnp
    >>> U, S, Vh = fnp.linalg.svd(fnp.array([[0.0, 2.0], [1.0, 0.0]]))
    >>> S
    Array([2., 1.], dtype=float32)
    """
    a = matrices("svd", a)
    if not compute_uv:
        s = svdvals(a)
        return s if subset_by_index is None else s[..., slice(*subset_by_index)]
    s, u, vh = svd_p(a, full_matrices=bool(full_matrices), vectors=True)
    if subset_by_index is not None:
        kept = slice(*subset_by_index)
        s, u, vh = s[..., kept], u[..., :, kept], vh[..., kept, :]
    return SVDResult(u, s, vh)


def eigh(a: Any, UPLO: str | None = None, symmetrize_input: bool = True) -> EighResult:
    """Eigenvalues, rising, and as columns the eigenvectors, of symmetric (Hermitian) matrices [..., n, n].

    symmetrize_input: use (a + a.T) / 2; otherwise only the triangle UPLO ("L" or "U") is read. Where eigenvalues are
    equal, the derivative of their vectors is infinite or NaN; that of the values is not.

    >>> import fnn.numpy as fnp
    >>> w, v = fnp.linalg.eigh(fnp.array([[2.0, 1.0], [1.0, 2.0]]))
    >>> w
    Array([1., 3.], dtype=float32)
    """
    return EighResult(*eigh_p(_hermitian("eigh", a, UPLO, symmetrize_input), vectors=True))


def eigvalsh(a: Any, UPLO: str | None = "L", *, symmetrize_input: bool = True) -> Any:
    """The eigenvalues of symmetric (Hermitian) matrices, rising: [..., n, n] -> [..., n]; arguments as of `eigh`."""
    return eigh_p(_hermitian("eigvalsh", a, UPLO, symmetrize_input), vectors=False)[0]


def _hermitian(name: str, a: Any, triangle: str | None, symmetrize: bool) -> Any:
    a = matrices(name, a, square=True)
    if triangle not in (None, "L", "U"):
        raise ArgumentError(f'{name}: UPLO is {triangle!r}, at {describe(here())}; it must be "L" or "U"')
    if symmetrize:
        return _symmetrized(a)
    return adjoint(a) if triangle == "U" else a


def eig(a: Any) -> EigResult:
    """Eigenvalues and as columns the right eigenvectors, both complex, of square matrices [..., n, n].

    Vectors have length 1 and a real largest component; the derivative is of these, infinite or NaN where eigenvalues are
    equal, and wrong to ask for where two components of a vector tie for the largest."""
    return EigResult(*eig_p(matrices("eig", a, square=True), left=False, right=True))


def eigvals(a: Any) -> Any:
    """The eigenvalues, complex, of square matrices: [..., n, n] -> [..., n]."""
    return eig_p(matrices("eigvals", a, square=True), left=False, right=False)[0]


# -- products --------------------------------------------------------------------------------------------------------


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
