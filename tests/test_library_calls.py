"""Functions of BLAS and LAPACK as kernels: what a routine describes is what the printed kernel and the evaluation do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn.core.aval import Aval
from fnn.errors import UnsupportedError
from fnn.kernels.library import printed
from fnn.primitives import lapack
from fnn.primitives.linalg import cholesky, triangular_solve
from tests.test_executable import agree


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [0, 1, 3, 17, 100, 130])
def test_cholesky(dtype: str, n: int):
    rng = np.random.default_rng(n)
    m = rng.standard_normal((5, n, n))
    a = (m @ m.swapaxes(1, 2) + n * np.eye(n)).astype(dtype)
    if n > 1:
        a[2] -= 10 * n * np.eye(n, dtype=dtype)  # not positive definite
    given = a + np.triu(np.full((n, n), 7, dtype), 1)  # above the diagonal anything may stand
    for f in (cholesky, fnn.jit(cholesky)):
        out = np.asarray(f(fnp.array(given, dtype)))
        for i in range(5):
            if n > 1 and i == 2:
                assert np.isnan(out[i][np.tril_indices(n)]).all()
            else:
                np.testing.assert_allclose(
                    out[i], np.linalg.cholesky(a[i]), rtol=0, atol=2e-5 if dtype == "float32" else 1e-12
                )
            assert np.all(np.triu(out[i], 1) == 0)


def key(primitive: Any, n: int, tiles: int, dtype: str = "float32", **params: Any) -> str:
    ins = [Aval((tiles, n, n), np.dtype(dtype))] * (1 if primitive is cholesky else 2)
    way = primitive.lower
    return printed("k", lapack.routine(way, ins, [primitive.shape(*ins, **params)], params), tiles).key


def test_sizes_share_a_kernel() -> None:
    assert len({key(cholesky, n, tiles) for n in (2, 5, 200) for tiles in (1, 7, 100_000)}) == 1
    assert key(cholesky, 3, 1) != key(cholesky, 3, 1, "float64")
    flags = {"left_side": True, "lower": True, "transpose_a": False, "unit_diagonal": False}
    assert key(triangular_solve, 3, 1, **flags) != key(triangular_solve, 3, 1, **{**flags, "lower": False})


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_pieces_have_workspaces_of_their_own(threads: int) -> None:
    """Enough matrices that threads share them; every thread count gives the same bits."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((700, 7, 5)).astype("float32")
    with fnn.config.using(num_threads=threads):
        u, s, v = fnn.jit(lambda x: fnp.linalg.svd(x, full_matrices=False))(a)
    got = np.asarray(u) * np.asarray(s)[:, None] @ np.asarray(v)
    np.testing.assert_allclose(got, a, atol=2e-5)
    eager = fnp.linalg.svd(fnp.array(a), full_matrices=False)
    assert np.array_equal(np.asarray(eager[0]), np.asarray(u))


def test_library_calls_say_what_they_cannot_do():
    with pytest.raises(UnsupportedError, match="no function 'nonsense'"):
        lapack.address("nonsense")


def test_a_loop_calls_the_library() -> None:
    a = (np.eye(3) * 4 + 0.5).astype("float32")

    def f(x: Any) -> list[Any]:
        return [fnn.lax.fori_loop(0, 3, lambda _, y: cholesky(y) + x, x)]

    agree(f, a)
