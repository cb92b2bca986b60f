"""LAPACK and BLAS called as kernels, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from fnn.errors import UnsupportedError
from fnn.kernels.cpu import driver as d
from fnn.kernels.cpu import library_calls, machine


def library(text: str, function: str, arrays: int, words: list[int], tiles: int) -> d.Runner:
    """A program of one call: inputs 1 ... arrays, one output, words, the function."""
    function_base, words_base = arrays + 3, arrays + 2
    args = [(function_base, 0), *((1 + i, 0) for i in range(arrays)), (1 + arrays, 0), (words_base, 0)]
    table = d.Table(
        np.array([d.kernel_row(0, len(args), tiles, 2)]), np.array(args), ["call"], arrays, 1, 1 + arrays,
        arrays + 4, words=np.array(words), words_base=words_base, symbols={function_base: function},
    )  # fmt: skip
    return d.Runner(table, {"call": machine.compile_text({"kcall": text})["kcall"]})


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [0, 1, 3, 17, 100])
def test_cholesky(dtype: str, n: int):
    rng = np.random.default_rng(n)
    m = rng.standard_normal((5, n, n))
    a = (m @ m.swapaxes(1, 2) + n * np.eye(n)).astype(dtype)
    if n > 1:
        a[2] -= 10 * n * np.eye(n, dtype=dtype)  # not positive definite
    given = a + np.triu(np.full((n, n), 7, dtype), 1)  # above the diagonal anything may stand
    out = np.full_like(a, 9)
    text = library_calls.cholesky_text("kcall", dtype)
    library(text, library_calls.cholesky_function(dtype), 1, [n], 5).run((given,), (out,))
    for i in range(5):
        if n > 1 and i == 2:
            assert np.isnan(out[i][np.tril_indices(n)]).all()
        else:
            np.testing.assert_allclose(
                out[i], np.linalg.cholesky(a[i]), rtol=0, atol=2e-5 if dtype == "float32" else 1e-12
            )
        assert np.all(np.triu(out[i], 1) == 0)


@pytest.mark.parametrize("left_side", [False, True])
@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("unit_diagonal", [False, True])
def test_triangular_solve(left_side: bool, lower: bool, transpose_a: bool, unit_diagonal: bool):
    options = {
        "left_side": left_side, "lower": lower, "transpose_a": transpose_a, "unit_diagonal": unit_diagonal
    }  # fmt: skip
    rng = np.random.default_rng(0)
    rows, columns = 6, 4
    n = rows if left_side else columns
    for dtype, shared in (("float64", False), ("float32", True)):
        a = (rng.standard_normal((1 if shared else 3, n, n)) * 0.3 + 3 * np.eye(n)).astype(dtype)
        b, out = rng.standard_normal((3, rows, columns)).astype(dtype), np.empty((3, rows, columns), dtype)
        text = library_calls.triangular_solve_text("kcall", dtype, **options)
        words = [rows, columns, 0 if shared else n * n, rows * columns]
        runner = library(text, library_calls.triangular_solve_function(dtype), 2, words, 3)
        runner.run((a, b), (out,))
        triangle = np.tril(a) if lower else np.triu(a)
        if unit_diagonal:
            triangle = triangle - triangle * np.eye(n, dtype=dtype) + np.eye(n, dtype=dtype)
        op = triangle.swapaxes(1, 2) if transpose_a else triangle
        back = op @ out if left_side else out @ op
        np.testing.assert_allclose(back, b, atol=1e-12 if dtype == "float64" else 1e-5)


def test_library_calls_say_what_they_cannot_do():
    with pytest.raises(UnsupportedError, match="float16"):
        library_calls.cholesky_text("k", "float16")
    with pytest.raises(UnsupportedError, match="no function 'nonsense'"):
        library_calls.address("nonsense")
