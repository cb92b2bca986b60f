"""fnn.scipy.linalg against SciPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.linalg as sl

import fnn
import fnn.numpy as fnp
from fnn.errors import ArgumentError
from fnn.scipy import linalg as fl
from fnn.tree import leaves

RNG = np.random.default_rng(11)
A, B, C, V = (RNG.standard_normal(s) for s in ((5, 5), (5, 2), (5, 3), (5,)))
S = A @ A.T + 5 * np.eye(5)

# The same call of SciPy and of fnn
CALLS: dict[str, Callable[[Any], Any]] = {
    "solve": lambda m: m.solve(A, V),
    "solve pos": lambda m: m.solve(S, B, assume_a="pos", lower=True),
    "solve_triangular": lambda m: m.solve_triangular(A + 5 * np.eye(5), B, trans=1, lower=True),
    "cholesky": lambda m: m.cholesky(S),
    "cho_solve": lambda m: m.cho_solve(m.cho_factor(S), B),
    "lu": lambda m: m.lu(C),
    "lu permute_l": lambda m: m.lu(C, permute_l=True),
    "lu_factor": lambda m: m.lu_factor(A),
    "lu_solve": lambda m: [m.lu_solve(m.lu_factor(A), V, trans=t) for t in (0, 1, 2)],
    "qr": lambda m: m.qr(C),
    "qr economic": lambda m: m.qr(C, mode="economic"),
    "qr pivoting": lambda m: m.qr(C, pivoting=True),
    "qr r": lambda m: m.qr(C, mode="r")[0],
    "qr_multiply": lambda m: m.qr_multiply(C, B.T, mode="right"),
    "svd": lambda m: m.svd(A)[1],
    "eigh": lambda m: m.eigh(S, eigvals_only=True),
    "eigh b": lambda m: m.eigh(A + A.T, S, eigvals_only=True),
    "eigh_tridiagonal": lambda m: m.eigh_tridiagonal(V, V[1:], eigvals_only=True),
    "hessenberg": lambda m: m.hessenberg(A, calc_q=True),
    "schur": lambda m: m.schur(A),
    "polar": lambda m: [m.polar(C), m.polar(C, side="left")],
    "expm": lambda m: [m.expm(A), m.expm(30 * A), m.expm(0.01 * A)],
    "expm_frechet": lambda m: m.expm_frechet(A, S),
    "det": lambda m: m.det(A),
    "inv": lambda m: m.inv(A),
    "solve_sylvester": lambda m: m.solve_sylvester(A, S[:2, :2], B),
    "block_diag": lambda m: m.block_diag(A, V, C),
    "toeplitz": lambda m: [m.toeplitz(V), m.toeplitz(V, V[:3])],
    "hankel": lambda m: [m.hankel(V), m.hankel(V, V[:3])],
    "circulant": lambda m: m.circulant(V),
    "companion": lambda m: m.companion(V),
    "convolution_matrix": lambda m: [m.convolution_matrix(V, 4, mode=k) for k in ("full", "same", "valid")],
    "dft": lambda m: [m.dft(6), m.dft(6, scale="sqrtn")],
    "fiedler": lambda m: m.fiedler(V),
    "fiedler_companion": lambda m: [
        m.fiedler_companion(V),
        m.fiedler_companion(V[:4]),
        m.fiedler_companion(V[:2]),
    ],
    "hadamard": lambda m: m.hadamard(8),
    "helmert": lambda m: [m.helmert(4), m.helmert(4, full=True)],
    "hilbert": lambda m: [m.hilbert(4), m.invhilbert(4)],
    "pascal": lambda m: [m.pascal(5), m.pascal(5, "lower"), m.invpascal(5)],
    "leslie": lambda m: m.leslie(V, V[1:]),
}


@pytest.mark.parametrize("name", CALLS)
def test_values(name: str) -> None:
    with fnn.enable_x64(True):
        got = leaves(CALLS[name](fl))
    want = leaves(CALLS[name](sl))
    assert len(got) == len(want)
    for g, w in zip(got, want, strict=True):
        tolerance = 1e-6 * max(1.0, float(np.abs(w).max()))
        np.testing.assert_allclose(np.asarray(g), np.asarray(w), 1e-6, tolerance)


def test_generalised_eigenvectors() -> None:
    a = fnp.array(A + A.T, "float64")
    w, v = map(np.asarray, fl.eigh(a, fnp.array(S, "float64")))
    np.testing.assert_allclose((A + A.T) @ v, S @ v * w, atol=1e-9)


@pytest.mark.parametrize(
    "f",
    [
        lambda a: fl.expm(a),
        lambda a: fl.expm(6 * a),
        lambda a: fl.solve_sylvester(a, a.T @ a, a),
        lambda a: fl.lu_solve(fl.lu_factor(a), a[0]),
        lambda a: fl.cho_solve(fl.cho_factor(a @ a.T + fnp.eye(5)), a[0]),
        lambda a: fl.polar(a)[0],
        lambda a: fl.eigh(a @ a.T, a @ a.T + 3 * fnp.eye(5), eigvals_only=True),
    ],
)
def test_derivatives(f: Callable[[Any], Any]) -> None:
    t = RNG.standard_normal((5, 5))
    x = 0.4 * A + np.diag(np.arange(5.0))
    weights = RNG.standard_normal(f(fnp.array(x, "float64")).shape)

    def loss(a: Any) -> Any:
        y = f(a)
        return fnp.sum(y * weights) / (1 + np.abs(x).sum())

    g = fnn.grad(loss)(fnp.array(x, "float64"))
    ahead, behind = (float(loss(fnp.array(x + s * 1e-6 * t, "float64"))) for s in (1, -1))
    assert float((np.asarray(g) * t).sum()) == pytest.approx((ahead - behind) / 2e-6, rel=2e-5, abs=1e-5)
    np.testing.assert_allclose(
        np.asarray(fnn.jit(fnn.grad(loss))(fnp.array(x, "float64"))), np.asarray(g), 1e-7, 1e-9
    )


def test_batches_and_errors() -> None:
    a = fnp.array(RNG.standard_normal((3, 4, 4)), "float64")
    want = np.stack([sl.expm(np.asarray(x)) for x in a])
    np.testing.assert_allclose(np.asarray(fl.expm(a)), want, 1e-9, 1e-9)
    np.testing.assert_allclose(np.asarray(fnn.jit(fnn.vmap(fl.expm))(a)), want, 1e-9, 1e-9)
    assert np.isnan(np.asarray(fl.expm(fnp.eye(2) * 1e9, max_squarings=3))).all()
    with pytest.raises(ArgumentError, match="trans"):
        fl.solve_triangular(fnp.eye(2), fnp.ones(2), trans=3)
