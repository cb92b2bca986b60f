"""Sparse arrays by coordinates, and eigenvectors by LOBPCG, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn.errors import ArgumentError, ShapeError, UnsupportedError
from fnn.experimental import sparse
from fnn.experimental.sparse.linalg import lobpcg_standard
from fnn.test_util import check_grads

RNG = np.random.default_rng(0)


def dense(*shape: int, dtype: Any = np.float32) -> Any:
    x = RNG.normal(size=shape) + (1j * RNG.normal(size=shape) if np.dtype(dtype).kind == "c" else 0)
    return np.where(RNG.random(shape) < 0.6, 0, x).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "int32"])
@pytest.mark.parametrize("shape", [(3, 4), (5,), (2, 3, 2), (), (0, 3)])
def test_there_and_back(shape: tuple[int, ...], dtype: str) -> None:
    x = dense(*shape, dtype=dtype)
    given = fnp.asarray(x, dtype=dtype)
    m = sparse.BCOO.fromdense(given)
    assert (m.shape, m.dtype, m.ndim, m.size) == (x.shape, x.dtype, x.ndim, x.size)
    assert not x.ndim or m.nse == np.count_nonzero(x)
    np.testing.assert_array_equal(m.todense(), x)
    np.testing.assert_array_equal(m.T.todense(), x.T)
    np.testing.assert_allclose(m.sum(), x.sum(), rtol=1e-6)
    np.testing.assert_array_equal((m * 2).todense(), x * 2)
    np.testing.assert_array_equal((m + m).sum_duplicates().todense(), x * 2)
    np.testing.assert_array_equal((m - 1).ravel(), x.ravel() - 1)
    np.testing.assert_array_equal(m.astype("complex64").todense(), x.astype("complex64"))


def test_products() -> None:
    a, b, v = dense(4, 6), dense(6, 3), RNG.normal(size=6).astype(np.float32)
    m = sparse.BCOO.fromdense(fnp.array(a))
    wide = sparse.BCOO.fromdense(fnp.array(a), nse=24)  # some pairs stand outside
    for s in (m, wide):
        np.testing.assert_allclose(s @ b, a @ b, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(s @ v, a @ v, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(b.T @ s.T, b.T @ a.T, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(np.ones(4, np.float32) @ s, a.sum(0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(
            (s @ sparse.BCOO.fromdense(fnp.array(b))).todense(), a @ b, rtol=1e-5, atol=1e-6
        )
    row = sparse.BCOO.fromdense(fnp.array(v))
    np.testing.assert_allclose(row @ v, v @ v, rtol=1e-5)
    bad = fnp.array([np.inf] * 6)  # what is not stored is not multiplied
    assert np.isfinite(sparse.empty((2, 6)) @ bad).all()
    with pytest.raises(ShapeError, match=r"shape \(4, 6\) and one of shape \(4, 6\)"):
        m @ a


def test_under_transformations() -> None:
    a, v = fnp.array(dense(4, 6)), fnp.array(RNG.normal(size=6).astype(np.float32))

    @fnn.jit
    def f(m: Any, v: Any) -> Any:
        return fnp.sin(m @ v).sum() + (sparse.BCOO.fromdense(m.todense(), nse=20) @ v).sum()

    m = sparse.BCOO.fromdense(a)
    expected = np.sin(np.asarray(a) @ np.asarray(v)).sum() + (np.asarray(a) @ np.asarray(v)).sum()
    np.testing.assert_allclose(f(m, v), expected, rtol=1e-5)
    check_grads(
        lambda data, v: fnp.sin(sparse.BCOO((data, m.indices), shape=m.shape) @ v).sum(), (m.data, v), order=1
    )
    full = fnn.grad(lambda a: fnp.sin(a @ v).sum())(a)
    got = fnn.grad(lambda data: fnp.sin(sparse.BCOO((data, m.indices), shape=m.shape) @ v).sum())(m.data)
    np.testing.assert_allclose(got, full[m.indices[:, 0], m.indices[:, 1]], rtol=1e-5)
    np.testing.assert_allclose(
        fnn.vmap(lambda v: m @ v)(fnp.stack([v, 2 * v]))[1], 2 * (a @ v), rtol=1e-5, atol=1e-6
    )


def test_ready_made_and_refused() -> None:
    import scipy.sparse

    np.testing.assert_array_equal(sparse.eye(3, 4, k=-1).todense(), np.eye(3, 4, -1))
    x = scipy.sparse.random(4, 5, 0.5, random_state=0, format="csr")
    np.testing.assert_allclose(sparse.BCOO.from_scipy_sparse(x).todense(), x.toarray(), rtol=1e-6)
    with pytest.raises(ShapeError, match=r"they are \(nse,\) and \(nse, 2\)"):
        sparse.BCOO((np.ones(3), np.zeros((3, 1), int)), shape=(2, 2))
    with pytest.raises(UnsupportedError, match="no batched or partly dense"):
        sparse.BCOO.fromdense(fnp.ones((2, 2)), n_batch=1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_lobpcg(dtype: str) -> None:
    a = RNG.normal(size=(60, 60))
    a = fnp.asarray(a @ a.T, dtype=dtype)
    x = fnp.asarray(RNG.normal(size=(60, 4)), dtype=dtype)
    values, vectors, steps = lobpcg_standard(a, x, m=200)
    tight = 1e-4 if dtype == "float32" else 1e-10
    np.testing.assert_allclose(values, np.linalg.eigvalsh(np.asarray(a))[::-1][:4], rtol=tight)
    np.testing.assert_allclose(a @ vectors, vectors * values, atol=100 * tight)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(4), atol=10 * tight)
    assert 0 < int(steps) < 200
    by_action = lobpcg_standard(lambda v: a @ v, x, m=200)
    np.testing.assert_allclose(by_action[0], values, rtol=tight)
    with pytest.raises(ArgumentError, match="0 < 5 k < n"):
        lobpcg_standard(a, fnp.ones((60, 12), dtype=dtype))
