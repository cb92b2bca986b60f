"""Eigenvectors of matrices that are known by what they do to a vector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fnn.numpy as fnp
from fnn.core.array import Array
from fnn.core.source import describe, here
from fnn.errors import ArgumentError
from fnn.transforms.jit import jit
from fnn.transforms.while_loop import while_loop

__all__ = ["lobpcg_standard"]


def lobpcg_standard(
    A: Array | Callable[[Array], Array],  # JAX's names
    X: Any,
    m: int = 100,
    tol: Any = None,
) -> tuple[Array, Array, Array]:
    """The largest eigenvalues of a Hermitian matrix and their vectors, by LOBPCG without a preconditioner.

    At each step the best vectors are found in the space of the present ones, their residuals and the last step (Knyazev:
    "Toward the optimal preconditioned eigensolver: locally optimal block preconditioned conjugate gradient method", 2001),
    of which an orthonormal basis is kept. It has no derivative: it stops at a tolerance.

    Args:
        A: (n, n), or a function from (n, k) to A @ X.
        X: (n, k), where to start; linearly independent columns, 0 < 5 k < n.
        m: the most steps.
        tol: a pair has converged when |A v - t v| < 10 n tol (t + |A v|); default: the dtype's epsilon.

    Returns:
        (k,) eigenvalues, the largest first; (n, k) vectors; the number of steps.

    Raises:
        ArgumentError: the shapes do not fit.

    >>> values, vectors, steps = lobpcg_standard(fnp.diag(fnp.arange(20.0)), fnp.eye(20)[:, :2] + 0.1)
    >>> print(fnp.round(values, 3))
    [19. 18.]
    """
    X = fnp.asarray(X)
    if X.ndim != 2 or not 0 < 5 * X.shape[1] < X.shape[0]:
        raise ArgumentError(
            f"lobpcg_standard, at {describe(here())}: X is (n, k) with 0 < 5 k < n, not of shape {X.shape}"
        )
    times: Any = A
    if not callable(A):
        matrix: Any = fnp.asarray(A)
        if matrix.shape != (X.shape[0],) * 2 or matrix.dtype != X.dtype:
            raise ArgumentError(
                f"lobpcg_standard, at {describe(here())}: A of shape {matrix.shape} and {matrix.dtype} for X of "
                f"shape {X.shape} and {X.dtype}"
            )
        times = lambda v: matrix @ v
    epsilon = float(fnp.finfo(X.dtype).eps) if tol is None else tol
    return jit(lambda x: _iterate(times, x, m, epsilon))(X)


def _iterate(times: Any, x: Any, steps: int, tol: Any) -> Any:
    n, k = x.shape

    def ritz(basis: Any) -> Any:
        """(values, coefficients) of the best k vectors in a space."""
        image = times(basis)
        small = basis.conj().T @ image
        values, vectors = fnp.linalg.eigh((small + small.conj().T) / 2)
        return values[::-1][:k], vectors[:, ::-1][:, :k]

    def residuals(x: Any, values: Any) -> Any:
        image = times(x)
        r = image - x * values
        size = values + fnp.linalg.norm(image, axis=0)
        return r, fnp.all(fnp.linalg.norm(r, axis=0) < tol * 10 * n * size)

    def step(state: Any) -> Any:
        i, x, values, r, p, _ = state
        basis = fnp.linalg.qr(fnp.concatenate([x, r, p], axis=1))[0]
        values, best = ritz(basis)
        x = basis @ best
        p = basis[:, k:] @ best[k:]  # what the step added to the present vectors
        r, done = residuals(x, values)
        return i + 1, x, values, r, p, done

    x = fnp.linalg.qr(x)[0]
    values, best = ritz(x)
    x = x @ best
    r, done = residuals(x, values)
    state = (0, x, values, r, fnp.zeros_like(x), done)
    i, x, values, *_ = while_loop(lambda s: (s[0] < steps) & ~s[-1], step, state)
    return values, x, i
