"""fnn.scipy.fft and signal.fftconvolve against SciPy, with derivatives, jit and vmap."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.fft as reference
import scipy.signal

import fnn
import fnn.numpy as fnp
from fnn.errors import ArgumentError, ShapeError, UnsupportedError
from fnn.scipy import fft, signal
from fnn.test_util import check_grads

RNG = np.random.default_rng(29)
NORMS = [None, "backward", "forward", "ortho"]


@pytest.mark.parametrize("name", ["dct", "idct"])
@pytest.mark.parametrize("norm", NORMS)
def test_cosine_transforms(name: str, norm: str | None) -> None:
    ours, theirs = getattr(fft, name), getattr(reference, name)
    for size, dtype in itertools.product((1, 2, 3, 8, 15), ("float32", "float64", "int32", "complex128")):
        x = (
            RNG.normal(size=(3, size)) * 5 + (2j * RNG.normal(size=(3, size)) if dtype == "complex128" else 0)
        ).astype(dtype)
        got = ours(fnp.asarray(x, dtype), norm=norm)
        assert got.dtype == ("float32" if dtype == "int32" else dtype)
        wide = x.astype("complex128" if dtype == "complex128" else "float64")
        tolerance = 1e-11 if dtype in ("float64", "complex128") else 2e-5
        np.testing.assert_allclose(
            got, theirs(wide, norm=norm), tolerance, 5 * tolerance, err_msg=f"{size} {dtype}"
        )
    x = RNG.normal(size=(5, 6))
    for n, axis in itertools.product((1, 4, 5, 9), (0, 1, -1)):
        got = ours(fnp.asarray(x, "float64"), n=n, axis=axis, norm=norm)
        np.testing.assert_allclose(got, theirs(x, n=n, axis=axis, norm=norm), 1e-11, 1e-12)


@pytest.mark.parametrize("name", ["dctn", "idctn"])
def test_cosine_transforms_along_several_axes(name: str) -> None:
    ours, theirs = getattr(fft, name), getattr(reference, name)
    x = RNG.normal(size=(3, 4, 5))
    for s, axes, norm in itertools.product((None, [2, 6]), (None, (0, 2), (2, 1)), (None, "ortho")):
        got = ours(fnp.asarray(x, "float64"), s=s, axes=axes, norm=norm)
        np.testing.assert_allclose(got, theirs(x, s=s, axes=axes, norm=norm), 1e-11, 1e-12)
    np.testing.assert_allclose(ours(fnp.asarray(x, "float64"), axes=[1]), theirs(x, axes=[1]), 1e-11, 1e-12)


@pytest.mark.parametrize("name", ["dct", "idct"])
def test_cosine_transforms_under_transformations(name: str) -> None:
    ours, theirs = getattr(fft, name), getattr(reference, name)
    x = fnp.asarray(RNG.normal(size=(4, 7)), "float64")
    check_grads(lambda x: ours(x, norm="ortho"), (x,), 2, atol=1e-7, rtol=1e-7)
    np.testing.assert_allclose(fnn.vmap(ours)(x), theirs(np.asarray(x)), 1e-11, 1e-12)
    np.testing.assert_allclose(fnn.jit(ours)(x), theirs(np.asarray(x)), 1e-11, 1e-12)


def test_cosine_transforms_refuse() -> None:
    x = fnp.ones((3, 4))
    with pytest.raises(UnsupportedError, match="type 3"):
        fft.dct(x, 3)
    with pytest.raises(ArgumentError, match="'most'"):
        fft.idct(x, norm="most")
    with pytest.raises(ArgumentError, match="lengths"):
        fft.dctn(x, s=[2, 2], axes=[0])
    with pytest.raises(ArgumentError, match="lengths"):
        fft.dct(x, n=0)


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_fftconvolve(mode: str) -> None:
    shapes = [((7,), (4,)), ((3,), (6,)), ((5, 6), (2, 3)), ((4, 3, 5), (2, 3, 1)), ((9,), (1,))]
    for (a, b), dtype in itertools.product(
        shapes, ("float32", "float64", "int32", "complex64", "complex128")
    ):
        x, y = (RNG.integers(-9, 9, s) + 0.5j * RNG.integers(-9, 9, s) for s in (a, b))
        x, y = ((v if dtype.startswith("c") else v.real).astype(dtype) for v in (x, y))
        want = scipy.signal.convolve(x, y, mode, method="direct")
        xs, ys = fnp.asarray(x, dtype), fnp.asarray(y, dtype)
        for got in (signal.fftconvolve(xs, ys, mode), signal.convolve(xs, ys, mode, method="fft")):
            assert got.dtype == ("float32" if dtype == "int32" else dtype)
            np.testing.assert_allclose(got, want, 1e-4, 1e-4, err_msg=f"{a} {b} {dtype}")
    x, y = RNG.normal(size=(3, 8)), RNG.normal(size=(1, 3))
    want = scipy.signal.fftconvolve(x, y, mode, axes=1)
    np.testing.assert_allclose(
        signal.fftconvolve(fnp.asarray(x), fnp.asarray(y), mode, axes=1), want, 1e-3, 1e-5
    )


def test_fftconvolve_under_transformations() -> None:
    x, y = (fnp.asarray(RNG.normal(size=s), "float64") for s in ((3, 8), (3, 4)))
    want = [np.convolve(a, b) for a, b in zip(np.asarray(x), np.asarray(y))]
    np.testing.assert_allclose(fnn.vmap(signal.fftconvolve)(x, y), want, 1e-9, 1e-12)
    np.testing.assert_allclose(fnn.jit(signal.fftconvolve)(x[0], y[0]), want[0], 1e-9, 1e-12)
    check_grads(signal.fftconvolve, (x[0], y[0]), 2, atol=1e-6, rtol=1e-6)
    with pytest.raises(ShapeError, match="ncompatible shapes for broadcasting"):
        signal.fftconvolve(x, y[:2], axes=1)
    with pytest.raises(ShapeError, match="valid mode"):
        signal.fftconvolve(fnp.ones((2, 3)), fnp.ones((3, 2)), "valid")
