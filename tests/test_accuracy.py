"""docs/accuracy.md says what is measured; reductions are as exact as NumPy's pairwise sums, along every axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special as special

import fnn
import fnn.numpy as fnp
from fnn import lax, nn
from tests import accuracy_table

EPS = float(np.finfo(np.float32).eps)
needs_extended = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant < 63,
    reason="NumPy's long double is no longer than f8 here: it can judge nothing",
)


@needs_extended
@pytest.mark.parametrize("name", sorted((*accuracy_table.UNARY, *accuracy_table.BINARY)))
def test_the_page_says_what_is_measured(name: str) -> None:
    """On a thinner sample, which may by chance meet somewhat more than the page's did."""
    figures = accuracy_table.recorded()[name]
    slow = name in accuracy_table.m.SPECIAL
    with np.errstate(all="ignore"):
        found = [
            accuracy_table.worst(name, "f4", 1 << 15, 1)[0],
            accuracy_table.worst(name, "f8", 1 << (8 if slow else 14), 1)[0],
            *[accuracy_table.halves(name, 1 << 10)[dtype] for dtype in ("float16", "bfloat16")],
        ]
    for measured, figure in zip(found, figures, strict=True):
        assert figure <= 2
        assert figure - 0.7 < measured < figure + 0.2, (found, figures)


@needs_extended
@pytest.mark.parametrize("name, bound", [("lgamma", 5), ("digamma", 16)])
def test_beside_negative_zeros_the_absolute_error_is_small(name: str, bound: float) -> None:
    rng = np.random.default_rng(0)
    x = -np.concatenate(
        [rng.uniform(0, 10, 200), rng.uniform(10, 200, 60), [2.4570247382208006, 0.504083008264455409]]
    )
    exact = accuracy_table.exact(name, (x,), "f8")
    got = np.asarray(fnn.jit(getattr(lax, name))(fnp.asarray(x, dtype=np.float64)))
    units = np.abs(got - exact) / np.spacing(np.maximum(1, np.abs(exact.astype(np.float64))))
    assert float(np.max(units)) <= bound


def numbers(kind: str, count: int, rows: int = 8) -> np.ndarray:
    """Rows of float32 that are easy, of either sign, or of sizes from 1e-4 to 1e4."""
    rng = np.random.default_rng(count)
    if kind == "uniform":
        return rng.random((rows, count), np.float32)
    x = rng.standard_normal((rows, count))
    return (x * 10.0 ** rng.uniform(-4, 4, x.shape) if kind == "ill-conditioned" else x).astype(np.float32)


SUMS: dict[str, Callable[[Any], Any]] = {
    "last": lambda x: fnp.sum(x, -1),
    "first": lambda x: fnp.sum(x.T, 0),
    "middle": lambda x: fnp.sum(fnp.stack([x.T, x.T]), 1)[1],
    "two": lambda x: fnp.sum(x.reshape(x.shape[0], 50, -1), (1, 2)),
    "all": lambda x: fnp.stack([fnp.sum(x[0]), *fnp.zeros(x.shape[0] - 1, x.dtype)]),
    "product": lambda x: fnp.dot(x, fnp.ones(x.shape[1], x.dtype)),
    "transposed": lambda x: fnp.ones(x.shape[1], x.dtype) @ x.T,
}


@pytest.mark.parametrize("kind", ["uniform", "normal", "ill-conditioned"])
@pytest.mark.parametrize("count", [1000, 100_000, pytest.param(10_000_000, marks=pytest.mark.slow)])
def test_sums_are_as_exact_as_pairwise_ones(kind: str, count: int) -> None:
    """In units of rounding of the sum of absolute values: no more than NumPy's largest of these rows, or one unit."""
    x = numbers(kind, count, 8 if count < 1e6 else 2)
    want, size = x.sum(1, dtype=np.longdouble), np.abs(x).sum(1, dtype=np.float64) * EPS
    pairwise = float(np.max(np.abs(np.sum(x, 1) - want) / size))
    columns = np.ascontiguousarray(x.T)
    for axis, f in SUMS.items():
        given = columns.T if axis in ("first", "middle", "transposed") else x
        got = np.asarray(fnn.jit(lambda x, f=f, axis=axis: f(x.T) if axis in ("first", "middle") else f(x))(
            columns if axis in ("first", "middle") else given
        ))  # fmt: skip
        error = (
            np.abs(got.astype(np.float64) - want)[: 1 if axis == "all" else None]
            / size[: 1 if axis == "all" else None]
        )
        assert float(np.max(error)) <= max(pairwise, 1.0), (axis, float(np.max(error)), pairwise)


@pytest.mark.parametrize("count", [1000, 300_000])
def test_variances_and_logarithms_of_sums(count: int) -> None:
    """As exact as NumPy's and SciPy's, or to 2 units."""
    x = numbers("normal", count) + np.float32(100)
    exact = x.astype(np.float64).var(1)
    theirs = np.max(np.abs(np.var(x, 1) - exact) / exact) / EPS
    for got in (
        fnn.jit(lambda x: fnp.var(x, 1))(x),
        fnn.jit(lambda x: fnp.var(x, 0))(np.ascontiguousarray(x.T)),
    ):
        assert np.max(np.abs(np.asarray(got, np.float64) - exact) / exact) / EPS <= max(2 * theirs, 2.0)
    y = numbers("normal", count) * np.float32(10)
    exact = np.asarray(special.logsumexp(y.astype(np.float64), 1))
    got = np.asarray(fnn.jit(lambda y: nn.logsumexp(y, -1))(y), np.float64)
    assert np.max(np.abs(got - exact) / np.abs(exact)) / EPS <= 2


@pytest.mark.parametrize("count", [1000, 100_000, pytest.param(10_000_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("near", [0.05, 1e-5])
def test_products_of_many_factors(count: int, near: float) -> None:
    """They are rounded once, or once more per piece of a long line: factors near 1 are rounded alike, so that the
    errors of a plain product grow like their number."""
    rng, rows = np.random.default_rng(count), 8 if count < 1e6 else 1
    x = (2.0 ** rng.uniform(-near / np.sqrt(count / 1e3), near / np.sqrt(count / 1e3), (rows, count))).astype(
        np.float32
    )
    exact = np.exp2(np.cumsum(np.log2(x.astype(np.longdouble)), 1))

    def error(got: Any, want: np.ndarray) -> float:
        return float(np.max(np.abs(np.asarray(got, np.longdouble) - want) / want)) / EPS

    columns = np.ascontiguousarray(x.T)
    assert error(fnn.jit(lambda x: fnp.prod(x, 1))(x), exact[:, -1]) <= 0.6
    assert error(fnn.jit(lambda x: fnp.prod(x, 0))(columns), exact[:, -1]) <= 0.6
    assert error(fnn.jit(lambda x: fnp.prod(x[0]))(x), exact[0, -1]) <= 0.6
    assert error(fnn.jit(lambda x: fnp.cumprod(x, 1))(x), exact) <= 4
    assert error(fnn.jit(lambda x: fnp.cumprod(x, 0))(columns), exact.T) <= (0.6 if rows > 1 else 4)
