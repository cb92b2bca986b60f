"""sqrtm, funm and rsf2csf against SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.linalg

import fnn
import fnn.numpy as fnp
from fnn.errors import ArgumentError
from fnn.scipy import linalg
from fnn.test_util import check_grads

RNG = np.random.default_rng(0)


def matrix(n: int, dtype: Any) -> Any:
    a = RNG.normal(size=(n, n)) + (1j * RNG.normal(size=(n, n)) if np.dtype(dtype).kind == "c" else 0)
    return (a + 2 * n * np.eye(n)).astype(dtype)  # no eigenvalue on the negative axis


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_square_roots(dtype: str) -> None:
    tight = 1e-4 if dtype in ("float32", "complex64") else 1e-11
    for n in (1, 2, 7):
        a = matrix(n, dtype)
        given = fnp.asarray(a, dtype=dtype)
        for found in (linalg.sqrtm(given), fnn.jit(linalg.sqrtm)(given)):
            assert found.dtype == np.result_type(dtype, np.complex64)
            np.testing.assert_allclose(found, scipy.linalg.sqrtm(a), rtol=tight, atol=tight)
    turned = fnp.asarray(RNG.normal(size=(5, 5)), dtype=dtype)  # with eigenvalues anywhere
    root = linalg.sqrtm(turned)
    np.testing.assert_allclose(root @ root, turned, rtol=50 * tight, atol=50 * tight)
    stack = fnp.stack([turned, 2 * turned])
    np.testing.assert_allclose(linalg.sqrtm(stack)[1], linalg.sqrtm(2 * turned), rtol=20 * tight, atol=tight)


def test_derivatives_of_square_roots() -> None:
    f = lambda a: linalg.sqrtm(a).real
    check_grads(f, (fnp.asarray(matrix(4, "float64"), dtype="float64"),), order=2, atol=1e-4, rtol=1e-4)
    a = fnp.asarray([[4.0, 1.0], [0.0, 9.0]])
    np.testing.assert_allclose(
        fnn.grad(lambda a: fnp.trace(linalg.sqrtm(a)).real)(a), np.linalg.inv(scipy.linalg.sqrtm(np.asarray(a))).T / 2,
        rtol=1e-4, atol=1e-5,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_functions_of_eigenvalues(dtype: str) -> None:
    tight = 2e-3 if dtype == "float32" else 1e-9
    a = RNG.normal(size=(5, 5)).astype(dtype)
    given = fnp.asarray(a, dtype=dtype)
    for f, g in ((fnp.exp, np.exp), (lambda x: x**2, lambda x: x**2), (fnp.sin, np.sin)):
        found = fnn.jit(lambda a, f=f: linalg.funm(a, f))(given)
        np.testing.assert_allclose(found, scipy.linalg.funm(a, g), rtol=tight, atol=tight)
    found, error = linalg.funm(given, fnp.exp, disp=False)
    np.testing.assert_allclose(found, scipy.linalg.expm(a), rtol=tight, atol=tight)
    assert 0 <= float(error) <= 1
    same = linalg.funm(fnp.asarray(np.eye(3) * 2, dtype=dtype), fnp.exp)  # equal eigenvalues, no coupling
    np.testing.assert_allclose(same, np.eye(3) * np.exp(2), rtol=1e-5)


def test_complex_schur_forms_of_real_ones() -> None:
    for n in (1, 2, 6, 7):
        a = RNG.normal(size=(n, n))
        t, z = scipy.linalg.schur(a)[:2]
        for f in (linalg.rsf2csf, fnn.jit(linalg.rsf2csf)):
            wide, turned = f(fnp.asarray(t, dtype="float64"), fnp.asarray(z, dtype="float64"))
            wide, turned = np.asarray(wide), np.asarray(turned)
            np.testing.assert_allclose(turned @ wide @ turned.conj().T, a, atol=1e-10)
            np.testing.assert_allclose(turned @ turned.conj().T, np.eye(n), atol=1e-12)
            np.testing.assert_allclose(np.tril(wide, -1), 0, atol=1e-12)
            np.testing.assert_allclose(
                np.sort_complex(np.round(np.diag(wide), 8)),
                np.sort_complex(np.round(np.linalg.eigvals(a), 8)),
                atol=1e-7,
            )
    with pytest.raises(ArgumentError, match="of one size"):
        linalg.rsf2csf(fnp.eye(2), fnp.eye(3))
