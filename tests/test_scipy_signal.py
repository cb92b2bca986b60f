"""fnn.scipy.signal against SciPy, with derivatives, jit and vmap."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import scipy.signal as reference

import fnn
import fnn.numpy as fnp
from fnn.errors import ArgumentError, ShapeError, UnsupportedError
from fnn.scipy import signal
from fnn.test_util import check_grads

RNG = np.random.default_rng(17)
MODES = ["full", "same", "valid"]
SHAPES = [
    ((7,), (4,)),
    ((3,), (6,)),
    ((5, 6), (2, 3)),
    ((2, 2), (3, 5)),
    ((4, 3, 5), (2, 3, 1)),
    ((5,), (5,)),
]


def double(*shape: int) -> Any:
    return fnp.asarray(RNG.normal(size=shape), "float64")


# -- convolutions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["convolve", "correlate"])
@pytest.mark.parametrize("mode", MODES)
def test_convolutions(name: str, mode: str) -> None:
    for (a, b), dtype in itertools.product(
        SHAPES, ("float32", "float64", "int32", "complex64", "complex128")
    ):
        x, y = (RNG.integers(-9, 9, s) + 0.5j * RNG.integers(-9, 9, s) for s in (a, b))
        x, y = ((v if dtype.startswith("c") else v.real).astype(dtype) for v in (x, y))
        want = getattr(reference, name)(x, y, mode, method="direct")
        got = getattr(signal, name)(fnp.asarray(x, dtype), fnp.asarray(y, dtype), mode)
        assert got.dtype == ("float32" if dtype == "int32" else dtype)
        np.testing.assert_allclose(got, want, 1e-6, 1e-6, err_msg=f"{a} {b} {dtype}")


@pytest.mark.parametrize("name", ["convolve2d", "correlate2d"])
@pytest.mark.parametrize("mode", MODES)
def test_convolutions_of_matrices(name: str, mode: str) -> None:
    shapes = [((5, 6), (2, 3)), ((5, 6), (4, 3)), ((2, 3), (5, 6)), ((3, 3), (3, 3)), ((4, 4), (2, 2))]
    for (a, b), (boundary, fill) in itertools.product(
        shapes, [("fill", 0), ("fill", 1.5), ("wrap", 0), ("symm", 0)]
    ):
        x, y = RNG.normal(size=a), RNG.normal(size=b)
        want = getattr(reference, name)(x, y, mode, boundary, fill)
        got = getattr(signal, name)(
            fnp.asarray(x, "float64"), fnp.asarray(y, "float64"), mode, boundary, fill
        )
        np.testing.assert_allclose(got, want, 1e-9, 1e-12, err_msg=f"{a} {b} {boundary} {fill}")


@pytest.mark.parametrize("mode", MODES)
def test_convolutions_under_transformations(mode: str) -> None:
    x, y = double(3, 8), double(3, 3)
    check_grads(lambda x, y: signal.convolve(x, y, mode), (x[0], y[0]), 2, atol=1e-6, rtol=1e-6)
    check_grads(lambda x, y: signal.correlate2d(x, y, mode, "symm"), (x, y), 1, atol=1e-6, rtol=1e-6)
    got = fnn.jit(fnn.vmap(lambda x, y: signal.convolve(x, y, mode)))(x, y)
    np.testing.assert_allclose(
        got, [np.convolve(a, b, mode) for a, b in zip(np.asarray(x), np.asarray(y))], 1e-9
    )


def test_convolutions_refuse() -> None:
    x = fnp.ones((3, 3))
    for f in (signal.convolve, signal.correlate, signal.convolve2d, signal.correlate2d):
        with pytest.raises(ArgumentError, match="mode 'most'"):
            f(x, x, "most")
        with pytest.raises(ShapeError, match="number of axes"):
            f(x, fnp.ones(3))
        with pytest.raises(ShapeError, match="valid mode"):
            f(fnp.ones((2, 3)), fnp.ones((3, 2)), "valid")
    with pytest.raises(ShapeError, match="elements"):
        signal.convolve(fnp.ones(0), fnp.ones(2))
    with pytest.raises(ArgumentError, match="method 'best'"):
        signal.convolve(x, x, method="best")
    with pytest.raises(ShapeError, match="matrices"):
        signal.convolve2d(fnp.ones(3), fnp.ones(2))
    with pytest.raises(ArgumentError, match="boundary"):
        signal.convolve2d(x, x, boundary="mirror")


# -- detrend ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("type", ["linear", "constant"])
def test_detrend(type: str) -> None:
    x = RNG.normal(size=(9, 4, 10)).cumsum(0)
    for axis, bp in itertools.product((0, 1, -1), (0, [3], [1, 2])):
        want = reference.detrend(x, axis, type, bp)
        got = signal.detrend(fnp.asarray(x, "float64"), axis, type, bp)
        np.testing.assert_allclose(got, want, 1e-9, 1e-11)
    z = x + 1j * x[::-1]
    np.testing.assert_allclose(
        signal.detrend(fnp.asarray(z, "complex128"), 0, type), reference.detrend(z, 0, type), 1e-9, 1e-11
    )
    assert signal.detrend(fnp.arange(5), type=type).dtype == fnp.float32
    check_grads(lambda x: signal.detrend(x, 0, type), (double(6, 2),), 1, atol=1e-7, rtol=1e-7)
    rows = double(3, 7)
    np.testing.assert_allclose(
        fnn.jit(fnn.vmap(lambda r: signal.detrend(r, type=type)))(rows),
        reference.detrend(np.asarray(rows), type=type),
        1e-9,
        1e-12,
    )


def test_detrend_refuses() -> None:
    with pytest.raises(ArgumentError, match="quadratic"):
        signal.detrend(fnp.ones(4), type="quadratic")
    with pytest.raises(ArgumentError, match="breakpoints"):
        signal.detrend(fnp.ones(4), bp=5)
    with pytest.raises(UnsupportedError, match="immutable"):
        signal.detrend(fnp.ones(4), overwrite_data=True)  # type: ignore[arg-type]  # that is the point
