"""Functions of square matrices by their Schur form: sqrtm, funm, and complex Schur forms from real ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fnn import lax
from fnn import numpy as fnp
from fnn import primitives as P
from fnn.core.source import describe, here
from fnn.errors import ArgumentError
from fnn.numpy.norms import matrices
from fnn.operations.operands import meet
from fnn.primitives.matrices import adjoint
from fnn.transforms.custom import custom_jvp

__all__ = ["funm", "rsf2csf", "sqrtm"]


def _complex_schur(name: str, a: Any) -> tuple[Any, Any]:
    a = matrices(name, a, square=True)
    t, z = P.schur(
        a if a.dtype.kind == "c" else a.astype(np.result_type(a.dtype, np.complex64)), vectors=True
    )
    return t, z


def _by_columns(diagonal: Any, system: Callable[[Any, Any], Any], right: Callable[[Any, Any], Any]) -> Any:
    """An upper triangular matrix with this diagonal; what stands above it in column j solves a triangular system.

    system(f, j) and right(f, j) give the matrix and the right side of which the leading j rows and columns count.
    """
    n = diagonal.shape[-1]
    places = fnp.arange(n)

    def column(j: Any, f: Any) -> Any:
        above = places < j
        inside = above[:, None] & above[None, :]
        matrix = fnp.where(inside, system(f, j), fnp.eye(n, dtype=f.dtype))
        side = fnp.where(above, right(f, j), 0)
        found = lax.linalg.triangular_solve(matrix, side[..., None], left_side=True, lower=False)
        return fnp.where((places == j) & above[:, None], found, f)

    start = fnp.eye(n, dtype=diagonal.dtype) * diagonal[..., None, :]
    return lax.fori_loop(1, n, column, start) if n > 1 else start


def _column(t: Any, j: Any) -> Any:
    return lax.dynamic_index_in_dim(t, j, -1, keepdims=False)


@custom_jvp
def _sqrtm(a: Any) -> Any:
    t, z = _complex_schur("sqrtm", a)
    n = t.shape[-1]
    roots = fnp.sqrt(fnp.diagonal(t, axis1=-2, axis2=-1))
    one = fnp.eye(n, dtype=t.dtype)
    # of the root R of T: (R + r_jj) r_j = t_j above the diagonal (Björck and Hammarling, 1983)
    root = _by_columns(
        roots, lambda f, j: f + one * _column(roots, j)[..., None, None], lambda f, j: _column(t, j)
    )
    return z @ root @ adjoint(z)


@_sqrtm.defjvp
def _sqrtm_jvp(primals: tuple[Any], tangents: tuple[Any]) -> tuple[Any, Any]:
    root = _sqrtm(*primals)
    return root, P.sylvester(root, root, tangents[0].astype(root.dtype))  # R dR + dR R = dA


def sqrtm(A: Any, blocksize: int = 1) -> Any:
    """The principal square root of square matrices, which is complex whatever they are. blocksize changes nothing.

    By the Schur form (Björck and Hammarling: "A Schur method for the square root of a matrix", 1983). Of singular matrices
    the root may not exist: NaN. Its derivative solves a Sylvester equation.

    >>> import fnn.numpy as fnp
    >>> print(fnp.round(sqrtm(fnp.array([[4.0, 1.0], [0.0, 9.0]])).real, 3))
    [[2.  0.2]
     [0.  3. ]]
    """
    return _sqrtm(matrices("sqrtm", A, square=True))


def funm(A: Any, func: Callable[[Any], Any], disp: bool = True) -> Any:
    """A function of square matrices, from the function of their eigenvalues; with disp=False also an estimate of the error.

    By Parlett's recurrence on the complex Schur form (Golub and Van Loan, "Matrix computations", 9.1.4): the result is
    complex, and loses digits where eigenvalues are close to each other. No derivative.

    >>> import fnn.numpy as fnp
    >>> print(fnp.round(funm(fnp.array([[1.0, 1.0], [0.0, 2.0]]), fnp.exp).real, 3))
    [[2.718 4.671]
     [0.    7.389]]
    """
    t, z = _complex_schur("funm", A)
    n = t.shape[-1]
    values = fnp.diagonal(t, axis1=-2, axis2=-1)
    images = func(values).astype(t.dtype)
    one = fnp.eye(n, dtype=t.dtype)
    tiny = float(fnp.finfo(t.dtype).eps)
    scale = tiny * fnp.maximum(fnp.max(fnp.abs(values), -1, keepdims=True), tiny)

    def system(f: Any, j: Any) -> Any:  # F T = T F, so (T - t_jj) f_j = F t_j - t_j f_jj above the diagonal
        gaps = values - _column(values, j)[..., None]
        equal = fnp.where(fnp.abs(gaps) < scale, scale.astype(t.dtype), gaps)
        return t + one * (equal - values)[..., None, :]

    def right(f: Any, j: Any) -> Any:
        inner = fnp.where((fnp.arange(n) < j), _column(t, j), 0)
        return (f @ inner[..., None])[..., 0] - inner * _column(images, j)[..., None]

    out = z @ _by_columns(images, system, right) @ adjoint(z)
    if disp:
        return out
    gaps = fnp.abs(values[..., :, None] - values[..., None, :]) + fnp.where(
        fnp.eye(n, dtype=bool), fnp.inf, 0
    )
    above = fnp.max(fnp.sum(fnp.abs(fnp.triu(t, 1)), -2), -1)
    least = fnp.maximum(fnp.min(gaps, (-2, -1)), tiny**2)
    return out, fnp.minimum(1, fnp.maximum(tiny, tiny / least * above))


def rsf2csf(T: Any, Z: Any, check_finite: bool = True) -> tuple[Any, Any]:
    """The complex Schur form (T, Z) from a real one: its blocks of two are made triangular by rotations.

    >>> import fnn.numpy as fnp
    >>> t, z = rsf2csf(fnp.array([[0.0, 1.0], [-1.0, 0.0]]), fnp.eye(2))
    >>> print(fnp.round(fnp.diagonal(t), 3))
    [0.+1.j 0.-1.j]
    """
    T, Z = (matrices("rsf2csf", x, square=True) for x in meet("rsf2csf", T, Z, mode="inexact", spread=False))
    if T.ndim != 2 or T.shape != Z.shape:
        raise ArgumentError(
            f"rsf2csf, at {describe(here())}: T and Z are square matrices of one size, not {T.shape} and {Z.shape}; for "
            "several use vmap"
        )
    n, tiny = T.shape[-1], float(fnp.finfo(T.dtype).eps)
    wide = np.result_type(T.dtype, np.complex64)
    T, Z = T.astype(wide), Z.astype(wide)

    def step(i: Any, state: Any) -> Any:
        t, z = state
        m = n - 1 - i
        block = lax.dynamic_slice(t, (m - 1, m - 1), (2, 2))
        (a, b), (c, d) = block
        low = fnp.abs(c) > tiny * (fnp.abs(a) + fnp.abs(d))
        mean = (a + d) / 2
        shift = mean + fnp.sqrt((a - d) ** 2 / 4 + b * c) - d  # an eigenvalue of the block, less d
        size = fnp.sqrt(fnp.abs(shift) ** 2 + fnp.abs(c) ** 2)
        safe = fnp.where(low, size, 1)
        x, y = fnp.where(low, shift / safe, 1), fnp.where(low, c / safe, 0)
        turn = fnp.stack([fnp.stack([x.conj(), y]), fnp.stack([-y, x])])
        rows = lax.dynamic_slice(t, (m - 1, 0), (2, n))
        t = lax.dynamic_update_slice(t, turn @ rows, (m - 1, 0))
        columns = lax.dynamic_slice(t, (0, m - 1), (n, 2))
        t = lax.dynamic_update_slice(t, columns @ adjoint(turn), (0, m - 1))
        z = lax.dynamic_update_slice(z, lax.dynamic_slice(z, (0, m - 1), (n, 2)) @ adjoint(turn), (0, m - 1))
        return t.at[m, m - 1].set(0), z

    return lax.fori_loop(0, n - 1, step, (T, Z)) if n > 1 else (T, Z)
