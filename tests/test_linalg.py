"""fnn.numpy.linalg and fnn.lax.linalg: values against NumPy and SciPy, derivatives against differences, under every
transformation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.linalg

import fnn
import fnn.numpy as fnp
from fnn import lax
from fnn.errors import ArgumentError, DifferentiationError, ShapeError
from fnn.tree import leaves

L = fnp.linalg
RNG = np.random.default_rng(7)


def matrix(*shape: int, dtype: str = "float64") -> np.ndarray:
    return RNG.standard_normal(shape).astype(dtype)


def spd(n: int, *lead: int) -> np.ndarray:
    a = matrix(*lead, n, n)
    return a @ np.swapaxes(a, -1, -2) + n * np.eye(n)


A, B, S, V, R, W = matrix(3, 4, 4), matrix(3, 4, 2), spd(4, 3), matrix(4), matrix(3, 5, 3), matrix(3, 3, 5)

# name -> (function, what NumPy says, arguments), each over a batch of three
CASES: dict[str, tuple[Callable[..., Any], Callable[..., Any] | None, tuple[np.ndarray, ...]]] = {
    "solve": (L.solve, np.linalg.solve, (A, B)),
    "inv": (L.inv, np.linalg.inv, (A,)),
    "det": (L.det, np.linalg.det, (A,)),
    "slogdet": (lambda a: L.slogdet(a)[1], lambda a: np.linalg.slogdet(a)[1], (A,)),
    "cholesky": (L.cholesky, np.linalg.cholesky, (S,)),
    "cholesky upper": (lambda a: L.cholesky(a, upper=True), lambda a: np.linalg.cholesky(a, upper=True), (S,)),
    "qr": (lambda a: L.qr(a), None, (A,)),
    "qr tall": (lambda a: L.qr(a), None, (R,)),
    "qr wide": (lambda a: L.qr(a, mode="complete"), None, (W,)),
    "qr r": (lambda a: abs(L.qr(a, mode="r")), lambda a: abs(np.linalg.qr(a, mode="r")), (R,)),
    "svd": (lambda a: L.svd(a, full_matrices=False), None, (R,)),
    "svdvals": (L.svdvals, lambda a: np.linalg.svd(a, compute_uv=False), (W,)),
    "eigh": (lambda a: L.eigh(a), None, (S,)),
    "eigvalsh": (L.eigvalsh, np.linalg.eigvalsh, (S,)),
    "pinv": (L.pinv, np.linalg.pinv, (R,)),
    "pinv wide": (L.pinv, np.linalg.pinv, (W,)),
    "norm 2": (lambda a: L.norm(a, 2, (-2, -1)), lambda a: np.linalg.norm(a, 2, (-2, -1)), (R,)),
    "norm -2": (lambda a: L.norm(a, -2, (-2, -1)), lambda a: np.linalg.norm(a, -2, (-2, -1)), (R,)),
    "norm nuc": (lambda a: L.matrix_norm(a, ord="nuc"), lambda a: np.linalg.norm(a, "nuc", (-2, -1)), (R,)),
    "norm 3": (lambda a: L.vector_norm(a, axis=-1, ord=3), lambda a: np.linalg.norm(a, 3, -1), (R,)),
    "cond": (L.cond, np.linalg.cond, (A,)),
    "cond 1": (lambda a: L.cond(a, 1), lambda a: np.linalg.cond(a, 1), (A,)),
    "matrix_power": (lambda a: L.matrix_power(a, -2), lambda a: np.linalg.matrix_power(a, -2), (A,)),
    "multi_dot": (
        lambda a, b: fnn.vmap(lambda a, b: L.multi_dot([a, a, b]))(a, b),
        lambda a, b: a @ a @ b,
        (A, B),
    ),
    "lstsq": (
        lambda a, b: fnn.vmap(lambda a, b: L.lstsq(a, b)[0])(a, b),
        lambda a, b: np.stack([np.linalg.lstsq(x, y, rcond=None)[0] for x, y in zip(a, b, strict=True)]),
        (R, matrix(3, 5, 2)),
    ),
    "lu": (lambda a: lax.linalg.lu(a)[0], None, (A,)),
    "lu tall": (lambda a: lax.linalg.lu(a)[0], None, (R,)),
    "qr pivoting": (lambda a: lax.linalg.qr(a, pivoting=True, full_matrices=False)[:2], None, (R,)),
    "triangular_solve": (lambda a, b: lax.linalg.triangular_solve(a, b, left_side=True, lower=True), None, (S, B)),
    "tridiagonal_solve": (
        lambda a, b: lax.linalg.tridiagonal_solve(a[..., 0], a[..., 1] + 9.0, a[..., 2], b), None, (A, B),
    ),
    "eigvals": (
        lambda a: fnp.sort(abs(L.eigvals(a))), lambda a: np.sort(abs(np.linalg.eigvals(a))), (A + np.diag([0, 9, 19, 31]),),
    ),
}  # fmt: skip
BATCHED = ("multi_dot", "lstsq")  # by vmap already


def wide(x: Any) -> Any:
    return fnp.array(x, "float64")


def check(got: Any, want: Any, tolerance: float = 1e-9) -> None:
    got, want = leaves(got), leaves(want)
    assert len(got) == len(want)
    for g, w in zip(got, want, strict=True):
        np.testing.assert_allclose(np.asarray(g), np.asarray(w), tolerance, tolerance)


@pytest.mark.parametrize("name", CASES)
def test_values(name: str) -> None:
    f, reference, args = CASES[name]
    got = f(*map(wide, args))
    if reference is not None:
        check(got, reference(*args))
        check(f(*[fnp.array(a, "float32") for a in args]), reference(*args), 2e-3)
    check(fnn.jit(f)(*map(wide, args)), got)
    if name not in BATCHED:
        check(fnn.vmap(f)(*map(wide, args)), got)
        check(fnn.jit(fnn.vmap(f))(*map(wide, args)), got)


@pytest.mark.parametrize("name", CASES)
def test_derivatives(name: str) -> None:
    """The gradient of a weighed sum, by reverse mode, forward mode and differences; compiled, batched; and the second."""
    f, _, args = CASES[name]
    rng = np.random.default_rng(3)
    weights = [rng.standard_normal(np.shape(x)) for x in leaves(f(*map(wide, args)))]

    def loss(*xs: Any) -> Any:
        return sum(fnp.sum(fnp.sin(y) * w) for y, w in zip(leaves(f(*xs)), weights, strict=True))

    point = [wide(a) for a in args]
    symmetric = name in ("cholesky", "cholesky upper", "eigh", "eigvalsh")
    along = [rng.standard_normal(a.shape) for a in args]
    if symmetric:
        along = [t + np.swapaxes(t, -1, -2) for t in along]
    numbers = tuple(range(len(args)))
    grads = fnn.grad(loss, numbers)(*point)
    slope = sum(float((np.asarray(g) * t).sum()) for g, t in zip(grads, along, strict=True))
    step = 1e-6
    ahead, behind = (
        loss(*[wide(a + s * step * t) for a, t in zip(args, along, strict=True)]) for s in (1, -1)
    )
    assert slope == pytest.approx(float(ahead - behind) / (2 * step), rel=2e-5, abs=2e-5)
    directions = tuple(map(wide, along))
    assert float(fnn.jvp(loss, tuple(point), directions)[1]) == pytest.approx(slope, rel=1e-8, abs=1e-8)

    def slopes(*xs: Any) -> Any:
        gs = fnn.grad(loss, numbers)(*xs)
        return sum(fnp.sum(g * t) for g, t in zip(gs, directions, strict=True))

    second = sum(
        float((np.asarray(g) * t).sum())
        for g, t in zip(fnn.grad(slopes, numbers)(*point), along, strict=True)
    )
    ahead, behind = (
        slopes(*[wide(a + s * step * t) for a, t in zip(args, along, strict=True)]) for s in (1, -1)
    )
    assert second == pytest.approx(float(ahead - behind) / (2 * step), rel=2e-4, abs=2e-4)
    check(fnn.jit(fnn.grad(loss, numbers))(*point), grads)


# -- what factors are ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [(4, 4), (5, 3), (3, 5), (1, 1), (2, 6, 2), (0, 3, 3), (2, 0, 3), (2, 3, 0)]
)
@pytest.mark.parametrize("jit", [False, True])
def test_factors_give_the_matrix_back(shape: tuple[int, ...], jit: bool) -> None:
    wrap = fnn.jit if jit else lambda f: f
    a = matrix(*shape)
    x = wide(a)
    for full in (False, True):
        q, r = map(np.asarray, wrap(lambda x, full=full: L.qr(x, mode="complete" if full else "reduced"))(x))
        check(q @ r, a)
        check(
            np.swapaxes(q, -1, -2) @ q,
            np.broadcast_to(np.eye(q.shape[-1]), (*shape[:-2], *[q.shape[-1]] * 2)),
        )
        u, s, vh = wrap(lambda x, full=full: L.svd(x, full_matrices=full))(x)
        assert u.shape == np.linalg.svd(a, full_matrices=full)[0].shape
        k = min(shape[-2:])
        check((np.asarray(u)[..., :k] * np.asarray(s)[..., None, :]) @ np.asarray(vh)[..., :k, :], a)
    q, r, p = wrap(lambda x: lax.linalg.qr(x, pivoting=True, full_matrices=False))(x)
    check(np.asarray(q) @ np.asarray(r), np.take_along_axis(a, np.asarray(p)[..., None, :], -1))
    lu, pivots, order = wrap(lax.linalg.lu)(x)
    m, n = shape[-2:]
    k = min(m, n)
    lower = np.tril(np.asarray(lu)[..., :k], -1) + np.eye(m, k)
    check(
        lower @ np.triu(np.asarray(lu)[..., :k, :]), np.take_along_axis(a, np.asarray(order)[..., None], -2)
    )
    assert pivots.shape == (*shape[:-2], k)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_eigenvectors(dtype: str) -> None:
    a = matrix(2, 5, 5) + (1j * matrix(2, 5, 5) if dtype[0] == "c" else 0)
    x = fnp.array(a, dtype)
    close = 2e-4 if dtype in ("float32", "complex64") else 1e-10
    w, v = map(np.asarray, L.eig(x))
    assert w.dtype == v.dtype == np.result_type(dtype, "complex64")
    check(a @ v, v * w[..., None, :], close)
    h = a + np.swapaxes(a.conj(), -1, -2)
    w, v = map(np.asarray, L.eigh(fnp.array(h, dtype)))
    check(h @ v, v * w[..., None, :], close)
    check(
        L.eigvalsh(fnp.array(np.triu(h), dtype), UPLO="U", symmetrize_input=False),
        np.linalg.eigvalsh(h),
        close,
    )


@pytest.mark.parametrize(
    "name", ["solve", "inv", "det", "slogdet", "cholesky", "qr tall", "svd", "eigh", "pinv", "eigvals"]
)
def test_complex_matrices(name: str) -> None:
    """Compiled as eager; and the derivative of what does not depend on the phases of vectors, against differences."""
    f, _, args = CASES[name]
    rng = np.random.default_rng(9)
    point, along = ([a + 0.1j * rng.standard_normal(a.shape) for a in args] for _ in range(2))
    if name in ("cholesky", "eigh"):
        point, along = ([a + np.swapaxes(a.conj(), -1, -2) for a in xs] for xs in (point, along))

    def loss(*xs: Any) -> Any:
        return sum(fnp.sum(abs(y) ** 3) for y in leaves(f(*xs)))

    x, t = (tuple([fnp.array(a, "complex128") for a in xs]) for xs in (point, along))
    check(fnn.jit(f)(*x), f(*x))
    numbers = tuple(range(len(x)))
    grads = fnn.grad(loss, numbers)(*x)
    slope = sum(float((np.asarray(g) * d).sum().real) for g, d in zip(grads, along, strict=True))
    ahead, behind = (float(loss(*[a + s * 1e-6 * d for a, d in zip(x, t, strict=True)])) for s in (1, -1))
    assert slope == pytest.approx((ahead - behind) / 2e-6, rel=1e-5, abs=1e-5)
    check(fnn.jit(fnn.grad(loss, numbers))(*x), grads, 1e-8)


@pytest.mark.parametrize("jit", [False, True])
def test_thousands_of_small_systems(jit: bool) -> None:
    a, b = (
        matrix(4000, 3, 3, dtype="float32") + 4 * np.eye(3, dtype="float32"),
        matrix(4000, 3, dtype="float32"),
    )
    solve = fnn.vmap(L.solve)
    check((fnn.jit(solve) if jit else solve)(a, b), np.linalg.solve(a, b[..., None])[..., 0], 1e-4)


def test_one_matrix_many_right_hand_sides() -> None:
    """A batch of right-hand sides of one matrix is solved at once, without repeating the matrix."""
    a, b = wide(matrix(4, 4)), wide(matrix(6, 4, 2))
    f = fnn.vmap(L.solve, in_axes=(None, 0))
    check(fnn.jit(f)(a, b), np.linalg.solve(np.asarray(a), np.asarray(b)))
    assert "lu_solve" in str(fnn.jit(f).lower(a, b).plan()) and "f64[6,4,4]" not in str(
        fnn.jit(f).lower(a, b).plan()
    )


def test_singular_matrices() -> None:
    a = wide([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 0.0, 1.0]])
    assert not np.isfinite(np.asarray(L.inv(a))).all()
    assert float(L.det(a)) == pytest.approx(0, abs=1e-15)
    assert int(L.matrix_rank(a)) == 2
    adjugate = [[4, -2, -4], [4, -2, -4], [-4, 2, 4]]  # by hand
    g = fnn.grad(L.det)(a)
    np.testing.assert_allclose(np.asarray(g), np.array([[4.0, 4, -4], [-2, -2, 2], [0, 0, 0]]), atol=1e-12)
    assert adjugate[0][0] == g[0, 0]
    sign, log = L.slogdet(fnp.zeros((2, 2)))
    assert float(sign) == 0 and float(log) == -np.inf
    assert np.isnan(np.asarray(L.cholesky(-fnp.eye(2)))[np.tril_indices(2)]).all()
    assert np.isnan(np.asarray(fnn.jit(L.eigh)(fnp.full((2, 2), np.nan))[0])).all()


def test_equal_eigenvalues() -> None:
    """Their own derivative is there; that of their vectors is not, and does not pretend to be."""
    assert np.array_equal(
        np.asarray(fnn.grad(lambda a: L.eigvalsh(a).sum())(fnp.eye(3))), np.eye(3, dtype="f4")
    )
    g = fnn.grad(lambda a: L.eigh(a)[1][0, 1] + L.eigh(a)[1][1, 0])(fnp.eye(3))
    assert not np.isfinite(np.asarray(g)).all()
    # a pseudo-inverse does not go by way of the vectors
    np.testing.assert_allclose(
        np.asarray(fnn.grad(lambda a: L.pinv(a)[0, 1])(fnp.eye(2))), [[0, -1], [0, 0]], atol=1e-6
    )


def test_tensors() -> None:
    a, b = matrix(2, 3, 6), matrix(2, 3)
    check(L.tensorsolve(wide(a), wide(b)), np.linalg.tensorsolve(a, b))
    c = matrix(4, 6, 8, 3)
    check(L.tensorinv(wide(c)), np.linalg.tensorinv(c), 1e-8)
    check(L.lstsq(wide(R[0]), wide(R[0][:, 0]))[0], np.array([1, 0, 0]), 1e-9)
    x, residuals, rank, s = L.lstsq(wide(R[0]), wide(matrix(5, 2)))
    assert int(rank) == 3 and residuals.shape == (2,) and s.shape == (3,) and x.shape == (3, 2)


def test_lax_names() -> None:
    r, w = np.triu(matrix(3, 3)) + 3 * np.eye(3), matrix(3)
    new = lax.linalg.cholesky_update(wide(r), wide(w))
    check(np.asarray(new).T @ np.asarray(new), r.T @ r + np.outer(w, w))
    a, c = matrix(3, 2), spd(3)
    check(lax.linalg.symmetric_product(wide(a), wide(c), alpha=2.0, beta=0.5), 2 * a @ a.T + 0.5 * c)
    raw: Any = scipy.linalg.qr(R[0], mode="raw")
    h, tau = raw[0]
    q = scipy.linalg.qr(R[0])[0]
    check(lax.linalg.householder_product(wide(h), wide(tau)), q[:, :3])
    check(lax.linalg.ormqr(wide(h), wide(tau), wide(R[0]), transpose=True), q.T @ R[0])
    v, values = lax.linalg.eigh(wide(S[0]))
    check(S[0] @ np.asarray(v), np.asarray(v) * np.asarray(values))


def test_forms() -> None:
    a = matrix(2, 5, 5)
    t, z = map(np.asarray, lax.linalg.schur(wide(a)))
    check(z @ t @ np.swapaxes(z, -1, -2), a)
    h, tau = map(np.asarray, lax.linalg.hessenberg(wide(a[0])))
    q = np.eye(5)
    q[1:, 1:] = lax.linalg.householder_product(wide(h[1:, :-1]), wide(tau))
    check(q @ np.triu(h, -1) @ q.T, a[0])
    _, d, e, _ = map(np.asarray, lax.linalg.tridiagonal(wide(S[0])))
    check(np.linalg.eigvalsh(np.diag(d) + np.diag(e, 1) + np.diag(e, -1)), np.linalg.eigvalsh(S[0]))
    w, left, right = map(np.asarray, lax.linalg.eig(wide(a)))
    check(a @ right, right * w[..., None, :])
    adjoint = np.swapaxes(left.conj(), -1, -2)
    check(adjoint @ a, w[..., None] * adjoint)


def test_errors() -> None:
    with pytest.raises(ShapeError, match=r"square.*f32\[2,3\]"):
        L.inv(fnp.ones((2, 3)))
    with pytest.raises(ShapeError, match="right-hand sides"):
        L.solve(fnp.eye(2), fnp.ones(3))
    with pytest.raises(ArgumentError, match="UPLO"):
        L.eigh(fnp.eye(2), UPLO="X")
    with pytest.raises(DifferentiationError, match="reduced"):
        fnn.grad(lambda a: L.qr(a, mode="complete")[0].sum())(fnp.ones((3, 2)))
    with pytest.raises(DifferentiationError, match="full_matrices=False"):
        fnn.grad(lambda a: L.svd(a)[0].sum())(fnp.ones((3, 2)))
