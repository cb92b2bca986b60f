"""Solutions of equations and their derivatives: custom_linear_solve, custom_root, and the iterative solvers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn import lax
from fnn.errors import ArgumentError, ShapeError, TreeError
from fnn.scipy.sparse.linalg import bicgstab, cg, gmres

RNG = np.random.default_rng(0)
N = 6
MATRIX = (RNG.normal(size=(N, N)) + 5 * np.eye(N)).astype("float32")
POSITIVE = (MATRIX @ MATRIX.T / 5 + np.eye(N)).astype("float32")
B = RNG.normal(size=N).astype("float32")


def iterate(matvec: Callable[[Any], Any], b: Any) -> Any:
    return lax.fori_loop(0, 100, lambda i, x: x + 0.12 * (b - matvec(x)), fnp.zeros_like(b))


def solution(A: Any, b: Any) -> Any:
    return lax.custom_linear_solve(lambda x: A @ x, b, iterate, iterate)


def gradients(A: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the sum of the solution's squares, in A and b."""
    x = np.linalg.solve(A, b)
    w = np.linalg.solve(A.T, 2 * x)
    return -np.outer(w, x), w


def test_linear_solve_and_its_derivatives() -> None:
    np.testing.assert_allclose(solution(MATRIX, B), np.linalg.solve(MATRIX, B), 1e-4, 1e-5)
    grad = fnn.grad(lambda A, b: fnp.sum(solution(A, b) ** 2), (0, 1))
    for f in (grad, fnn.jit(grad)):
        for got, want in zip(f(MATRIX, B), gradients(MATRIX, B), strict=True):
            np.testing.assert_allclose(got, want, 1e-4, 1e-5)
    change = RNG.normal(size=(N, N)).astype("float32")
    _, along = fnn.jvp(lambda A: solution(A, B), (MATRIX,), (change,))
    x = np.linalg.solve(MATRIX, B)
    np.testing.assert_allclose(along, -np.linalg.solve(MATRIX, change @ x), 1e-4, 1e-5)
    inverse = np.linalg.inv(MATRIX)
    hessian = fnn.hessian(lambda b: fnp.sum(solution(MATRIX, b) ** 2))(B)
    np.testing.assert_allclose(hessian, 2 * inverse.T @ inverse, 1e-4, 1e-5)


def test_linear_solve_is_batched() -> None:
    both = fnn.vmap(solution)(np.stack([MATRIX, 2 * MATRIX]), np.stack([B, B]))
    np.testing.assert_allclose(both[1], np.linalg.solve(2 * MATRIX, B), 1e-4, 1e-5)
    grad = fnn.grad(lambda s: fnp.sum(solution(MATRIX * s, B) ** 2))
    scales = np.array([1.0, 1.1], "float32")
    np.testing.assert_allclose(fnn.vmap(grad)(scales), [grad(s) for s in scales], 1e-5)


def test_pytrees_symmetric_operators_and_more_results() -> None:
    def solve(matvec: Any, b: Any) -> Any:
        return {k: v / 3.0 for k, v in b.items()}, fnp.array(7)

    def f(c: Any) -> Any:
        b = {"a": c * fnp.ones(2), "b": c}
        return lax.custom_linear_solve(
            lambda x: {k: 3.0 * v for k, v in x.items()}, b, solve, symmetric=True, has_aux=True
        )

    x, more = f(6.0)
    assert float(x["b"]) == 2 and int(more) == 7
    assert float(fnn.grad(lambda c: fnp.sum(f(c)[0]["a"]) + f(c)[0]["b"])(6.0)) == pytest.approx(1.0)


def test_mistakes_in_linear_solves() -> None:
    with pytest.raises(ShapeError, match="must be the same"):
        lax.custom_linear_solve(lambda x: x[:2], B, iterate)
    with pytest.raises(TreeError, match="must be the same"):
        lax.custom_linear_solve(lambda x: (x, x), B, iterate)
    with pytest.raises(ArgumentError, match="transpose_solve"):
        fnn.grad(lambda b: fnp.sum(lax.custom_linear_solve(lambda x: 2.0 * x, b, iterate)))(B)


def square_root(a: Any) -> Any:
    newton = lambda f, x: lax.fori_loop(0, 20, lambda _, x: x - f(x) / fnn.grad(f)(x), x)
    return lax.custom_root(lambda x: x**2 - a, 1.0, newton, lambda g, y: y / g(1.0))


def test_root() -> None:
    assert float(square_root(9.0)) == pytest.approx(3)
    assert float(fnn.grad(square_root)(9.0)) == pytest.approx(1 / 6)
    assert float(fnn.grad(fnn.grad(square_root))(9.0)) == pytest.approx(-1 / 108)
    assert float(fnn.jvp(square_root, (9.0,), (2.0,))[1]) == pytest.approx(1 / 3)
    roots = fnn.jit(fnn.vmap(fnn.grad(square_root)))(np.array([4.0, 9.0], "float32"))
    np.testing.assert_allclose(roots, [1 / 4, 1 / 6], 1e-6)


def test_root_of_a_system() -> None:
    """A fixed point, whose derivative is found by conjugate gradients on the normal equations."""
    step = lambda x, w: fnp.tanh(w @ x + 0.5)

    def fixed_point(w: Any) -> Any:
        def solve(f: Any, x: Any) -> Any:
            return lax.while_loop(lambda x: fnp.max(fnp.abs(f(x))) > 1e-6, lambda x: x - f(x), x), fnp.array(
                1.0
            )

        tangent = lambda g, y: bicgstab(g, y, tol=1e-7)[0]
        return lax.custom_root(lambda x: x - step(x, w), fnp.zeros(N), solve, tangent, has_aux=True)[0]

    w = 0.1 * MATRIX / 5
    found = fixed_point(w)
    np.testing.assert_allclose(found, step(found, w), 1e-5)
    unrolled = fnn.grad(lambda w: fnp.sum(lax.fori_loop(0, 60, lambda i, x: step(x, w), fnp.zeros(N))))(w)
    np.testing.assert_allclose(fnn.grad(lambda w: fnp.sum(fixed_point(w)))(w), unrolled, 1e-3, 1e-5)


SOLVERS = [(cg, POSITIVE), (bicgstab, POSITIVE), (bicgstab, MATRIX), (gmres, POSITIVE), (gmres, MATRIX)]


@pytest.mark.parametrize(("solver", "A"), SOLVERS, ids=lambda v: getattr(v, "__name__", ""))
def test_iterative_solvers(solver: Any, A: np.ndarray) -> None:
    x, info = solver(A, B, tol=1e-6)
    assert info is None
    np.testing.assert_allclose(x, np.linalg.solve(A, B), 1e-4, 1e-5)
    np.testing.assert_allclose(solver(lambda v: A @ v, B, np.ones(N, "float32"), tol=1e-6)[0], x, 1e-4, 1e-5)
    diagonal = 1 / np.diag(A)
    np.testing.assert_allclose(solver(A, B, tol=1e-6, M=lambda v: diagonal * v)[0], x, 1e-4, 1e-5)
    f = lambda A, b: fnp.sum(solver(A, b, tol=1e-7)[0] ** 2)
    for got, want in zip(fnn.jit(fnn.grad(f, (0, 1)))(A, B), gradients(A, B), strict=True):
        np.testing.assert_allclose(got, want, 2e-3, 2e-4)
    together = fnn.vmap(lambda b: solver(A, b, tol=1e-6)[0])(np.stack([B, 2 * B]))
    np.testing.assert_allclose(together[1], np.linalg.solve(A, 2 * B), 1e-4, 1e-5)


def test_solvers_take_pytrees_and_stop() -> None:
    b = {"a": B[:2], "b": B[2:]}
    x, _ = cg(lambda v: fnn.tree.map(lambda u: 4.0 * u, v), b)
    np.testing.assert_allclose(x["b"], B[2:] / 4, 1e-5)
    early, _ = cg(POSITIVE, B, maxiter=1, tol=0.0)
    assert np.abs(np.asarray(early) - np.linalg.solve(POSITIVE, B)).max() > 1e-3
    np.testing.assert_array_equal(cg(POSITIVE, np.zeros(N, "float32"))[0], np.zeros(N))
    np.testing.assert_allclose(
        gmres(MATRIX, B, restart=2, tol=1e-6)[0], np.linalg.solve(MATRIX, B), 1e-3, 1e-4
    )


def test_mistakes_in_solvers() -> None:
    with pytest.raises(ShapeError, match="square"):
        cg(np.ones((2, 3)), B)
    with pytest.raises(ShapeError, match="shapes must be the same"):
        cg(lambda x: x[:2], B)
    with pytest.raises(ArgumentError, match="solve_method"):
        gmres(MATRIX, B, solve_method="fast")
