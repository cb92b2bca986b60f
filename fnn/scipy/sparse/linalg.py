"""Iterative solvers of A x = b for pytrees b: conjugate gradients, BiCGSTAB and GMRES.

A is a matrix or a linear function. Derivatives in b and in what A holds are those of the solution (see
fnn.lax.custom_linear_solve), found by the same solver.

>>> import fnn.numpy as fnp
>>> x, _ = cg(lambda x: 4.0 * x, fnp.array([4.0, 8.0]))
>>> print(x)
[1. 2.]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fnn import dtypes, lax, tree
from fnn import numpy as fnp
from fnn.core.array import Array, as_array
from fnn.core.source import describe, here
from fnn.errors import ArgumentError, ShapeError, TreeError

Product = Callable[[Array], Array]


class _Vectors:
    """Pytrees of arrays as vectors of one dtype."""

    def __init__(self, what: str, b: Any):
        leaves, self.structure = tree.flatten(b)
        self.what, self.leaves = what, [as_array(x) for x in leaves]
        if not self.leaves:
            raise ArgumentError(f"{what}: b has no arrays, at {describe(here())}")
        found = dtypes.result([x.aval for x in self.leaves])[0]
        self.dtype = found if dtypes.is_float(found) else dtypes.default_float()
        self.size = sum(x.size for x in self.leaves)

    def flat(self, given: Any) -> Array:
        """The vector of a pytree."""
        leaves, structure = tree.flatten(given)
        arrays = [as_array(x) for x in leaves]
        if structure != self.structure:
            raise TreeError(
                f"{self.what}: A maps {self.structure} to {structure}, at {describe(here())}; they must be the same"
            )
        if any(a.shape != b.shape for a, b in zip(arrays, self.leaves, strict=True)):
            raise ShapeError(
                f"{self.what}: A maps {', '.join(str(b.aval) for b in self.leaves)} to "
                f"{', '.join(str(a.aval) for a in arrays)}, at {describe(here())}; shapes must be the same"
            )
        parts = [fnp.ravel(x).astype(self.dtype) for x in arrays]
        return parts[0] if len(parts) == 1 else fnp.concatenate(parts)

    def shaped(self, vector: Array) -> Any:
        """The pytree of a vector."""
        out, at = [], 0
        for x in self.leaves:
            out.append(vector[at : at + x.size].reshape(x.shape))
            at += x.size
        return tree.unflatten(self.structure, out)

    def function(self, A: Any, name: str) -> Product:
        """A matrix or a function over the pytrees, over vectors."""
        if callable(A) and not isinstance(A, Array):
            return lambda v: self.flat(A(self.shaped(v)))
        matrix = as_array(A)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise ShapeError(
                f"{self.what}: {name} is a square matrix or a function, not {matrix.aval}, at {describe(here())}"
            )
        return lambda v: self.flat(matrix @ self.shaped(v))


Solver = Callable[[Product, Array, Array, Product, Any, int], Array]


def _solved(
    what: str,
    solver: Solver,
    symmetric: bool,
    A: Any,
    b: Any,
    x0: Any,
    tol: Any,
    atol: Any,
    maxiter: int | None,
    M: Any,
) -> tuple[Any, None]:
    vectors = _Vectors(what, b)
    product = vectors.function(A, "A")
    before = (lambda v: v) if M is None else vectors.function(M, "M")
    start = fnp.zeros(vectors.size, vectors.dtype) if x0 is None else vectors.flat(x0)
    most = 10 * vectors.size if maxiter is None else maxiter

    def solve(product: Product, right: Array) -> Array:
        # to within the greater of the two, squared
        square = fnp.maximum(fnp.square(tol) * fnp.vdot(right, right), fnp.square(atol))
        return solver(product, right, start, before, square, most)

    out = lax.custom_linear_solve(product, vectors.flat(b), solve, solve, symmetric=symmetric)
    return vectors.shaped(out), None


def _cg(A: Product, b: Array, x0: Array, M: Product, square: Any, most: int) -> Array:
    """M. R. Hestenes and E. Stiefel, J. Res. Nat. Bur. Stand. 49, 1952."""
    r = b - A(x0)
    z = M(r)

    def going(state: Any) -> Any:
        _, r, _, _, k = state
        return (fnp.vdot(r, r) > square) & (k < most)

    def step(state: Any) -> Any:
        x, r, gamma, p, k = state
        along = A(p)
        alpha = gamma / fnp.vdot(p, along)
        x, r = x + alpha * p, r - alpha * along
        z = M(r)
        new = fnp.vdot(r, z)
        return x, r, new, z + new / gamma * p, k + 1

    return lax.while_loop(going, step, (x0, r, fnp.vdot(r, z), z, 0))[0]


def _bicgstab(A: Product, b: Array, x0: Array, M: Product, square: Any, most: int) -> Array:
    """H. A. van der Vorst, SIAM J. Sci. Stat. Comput. 13, 1992. It stops where a scalar breaks down (k < 0)."""
    r0 = b - A(x0)
    one = fnp.ones((), b.dtype)

    def going(state: Any) -> Any:
        _, r, *_, k = state
        return (fnp.vdot(r, r) > square) & (k < most) & (k >= 0)

    def step(state: Any) -> Any:
        x, r, alpha, omega, rho, p, q, k = state
        new = fnp.vdot(r0, r)
        p = r + new / rho * alpha / omega * (p - omega * q)
        ahead = M(p)
        q = A(ahead)
        alpha = new / fnp.vdot(r0, q)
        s = r - alpha * q
        done = fnp.vdot(s, s) < square
        turned = M(s)
        t = A(turned)
        omega = fnp.vdot(t, s) / fnp.vdot(t, t)
        x = fnp.where(done, x + alpha * ahead, x + alpha * ahead + omega * turned)
        r = fnp.where(done, s, s - omega * t)
        k = fnp.where((omega == 0) | (alpha == 0), -11, k + 1)
        k = fnp.where(new == 0, -10, k)
        return x, r, alpha, omega, new, p, q, k

    return lax.while_loop(going, step, (x0, r0, one, one, one, r0, r0 * 0, 0))[0]


def _gmres_cycle(A: Product, x: Array, r: Array, M: Product, restart: int) -> Array:
    """One cycle: an orthonormal basis of the Krylov space by Gram and Schmidt, twice; the least squares by rotations."""
    n, dtype = r.size, r.dtype
    size = fnp.sqrt(fnp.vdot(r, r))
    basis = fnp.zeros((restart + 1, n), dtype).at[0].set(r / fnp.where(size == 0, 1, size))
    upper = fnp.zeros((restart + 1, restart), dtype)
    eps = float(dtypes.finfo(dtype).eps)

    def grow(k: Any, state: Any) -> Any:
        basis, upper = state
        v = M(A(basis[k]))
        whole = fnp.sqrt(fnp.vdot(v, v))
        column = basis @ v
        v = v - column @ basis
        again = basis @ v
        v = v - again @ basis
        left = fnp.sqrt(fnp.vdot(v, v))
        none = left <= eps * whole  # the space is complete
        v = fnp.where(none, 0.0, v / fnp.where(none, 1.0, left))
        column = (column + again).at[k + 1].set(fnp.where(none, 0.0, left))
        return basis.at[k + 1].set(v), upper.at[:, k].set(column)

    basis, upper = lax.fori_loop(0, restart, grow, (basis, upper))
    right = fnp.zeros(restart + 1, dtype).at[0].set(size)

    def rotate(k: Any, state: Any) -> Any:
        upper, right = state
        a, b = upper[k, k], upper[k + 1, k]
        length = fnp.hypot(a, b)
        none = length == 0
        length = fnp.where(none, 1.0, length)
        c, s = fnp.where(none, 1.0, a / length), b / length
        first, second = upper[k], upper[k + 1]
        upper = upper.at[k].set(c * first + s * second).at[k + 1].set(c * second - s * first)
        one, two = right[k], right[k + 1]
        return upper, right.at[k].set(c * one + s * two).at[k + 1].set(c * two - s * one)

    upper, right = lax.fori_loop(0, restart, rotate, (upper, right))
    square, right = upper[:restart], right[:restart]
    diagonal = fnp.diagonal(square)
    flat = fnp.abs(diagonal) <= eps * fnp.max(fnp.abs(diagonal), initial=0.0)
    square = square + fnp.diag(fnp.where(flat, 1.0 - diagonal, 0.0))
    right = fnp.where(flat, 0.0, right)
    y = lax.linalg.triangular_solve(square, right[:, None], left_side=True, lower=False)[:, 0]
    return x + y @ basis[:restart]


def _gmres(restart: int) -> Solver:
    """Y. Saad and M. H. Schultz, SIAM J. Sci. Stat. Comput. 7, 1986."""

    def solver(A: Product, b: Array, x0: Array, M: Product, square: Any, most: int) -> Array:
        # the tolerance is that of the preconditioned residual
        scale = fnp.vdot(M(b), M(b)) / fnp.where(fnp.vdot(b, b) == 0, 1, fnp.vdot(b, b))
        bound = square * scale

        def going(state: Any) -> Any:
            _, r, k = state
            return (fnp.vdot(r, r) > bound) & (k < most)

        def step(state: Any) -> Any:
            x, r, k = state
            x = _gmres_cycle(A, x, r, M, restart)
            return x, M(b - A(x)), k + 1

        return lax.while_loop(going, step, (x0, M(b - A(x0)), 0))[0]

    return solver


def cg(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    tol: Any = 1e-5,
    atol: Any = 0.0,
    maxiter: int | None = None,
    M: Any = None,
) -> tuple[Any, None]:
    """Conjugate gradients: (x, None) with A x = b for a symmetric positive definite A.

    x0: a first guess, zeros by default. It stops when |b - A x| <= max(tol |b|, atol), or after maxiter steps (10 times
    the size by default). M: a preconditioner, an approximation of the inverse of A, symmetric and positive definite."""
    return _solved("cg", _cg, True, A, b, x0, tol, atol, maxiter, M)


def bicgstab(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    tol: Any = 1e-5,
    atol: Any = 0.0,
    maxiter: int | None = None,
    M: Any = None,
) -> tuple[Any, None]:
    """Stabilised bi-conjugate gradients: (x, None) with A x = b for any A. See cg for the arguments."""
    return _solved("bicgstab", _bicgstab, False, A, b, x0, tol, atol, maxiter, M)


def gmres(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    tol: Any = 1e-5,
    atol: Any = 0.0,
    restart: int = 20,
    maxiter: int | None = None,
    M: Any = None,
    solve_method: str = "batched",
) -> tuple[Any, None]:
    """Generalised minimal residuals: (x, None) with A x = b for any A. See cg for the arguments.

    restart: the size of the Krylov space from which it starts anew. solve_method: "batched" or "incremental", which are
    computed alike."""
    if solve_method not in ("batched", "incremental"):
        raise ArgumentError(
            f"gmres: solve_method is batched or incremental, not {solve_method!r}, at {describe(here())}"
        )
    count = sum(int(np.prod(as_array(x).shape)) for x in tree.leaves(b))
    return _solved("gmres", _gmres(min(restart, count)), False, A, b, x0, tol, atol, maxiter, M)


__all__ = ["bicgstab", "cg", "gmres"]
