"""fnn.numpy.fft against NumPy, and its derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn.errors import ArgumentError, DtypeError

RNG = np.random.default_rng(5)
REAL = RNG.standard_normal((3, 6, 5))
COMPLEX = REAL + 1j * RNG.standard_normal((3, 6, 5))
ONE = ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
MANY = ("fft2", "ifft2", "rfft2", "irfft2", "fftn", "ifftn", "rfftn", "irfftn")


def given(name: str) -> np.ndarray:
    return REAL if name in ("rfft", "ihfft", "rfft2", "rfftn") else COMPLEX


def check(got: Any, want: np.ndarray, tolerance: float) -> None:
    assert got.shape == want.shape
    np.testing.assert_allclose(np.asarray(got), want, tolerance, tolerance)


@pytest.mark.parametrize("norm", [None, "ortho", "forward"])
@pytest.mark.parametrize("name", ONE)
def test_along_one_axis(name: str, norm: str | None) -> None:
    x = given(name)
    f, reference = getattr(fnp.fft, name), getattr(np.fft, name)
    for n, axis in ((None, -1), (4, 1), (9, 0), (1, 2)):
        want = reference(x, n, axis, norm)
        check(f(fnp.array(x, np.result_type(x.dtype, "float64")), n, axis, norm), want, 1e-12)
        single = f(fnp.array(x), n, axis, norm)
        assert single.dtype == (np.float32 if want.dtype.kind == "f" else np.complex64)
        check(single, want, 2e-5)


@pytest.mark.parametrize("name", MANY)
def test_along_several_axes(name: str) -> None:
    x = given(name)
    f, reference = getattr(fnp.fft, name), getattr(np.fft, name)
    for s, axes in ((None, (0, 2)), ((4, 7), (1, 0)), ((8, 3), (-2, -1))):
        check(f(fnp.array(x), s, axes, "ortho"), reference(x, s, axes, "ortho"), 2e-5)
    check(f(fnp.array(x)), reference(x), 2e-5)


@pytest.mark.parametrize("n", [1, 2, 7, 97, 1000, 1024])
def test_lengths(n: int) -> None:
    x = RNG.standard_normal((2, n))
    check(fnp.fft.fft(fnp.array(x, "float64")), np.fft.fft(x), 1e-10)
    check(fnp.fft.irfft(fnp.fft.rfft(fnp.array(x, "float64")), n), x, 1e-12)


def test_frequencies_and_shifts() -> None:
    for n in (1, 4, 5):
        check(fnp.fft.fftfreq(n, 0.1), np.fft.fftfreq(n, 0.1), 1e-6)
        check(fnp.fft.rfftfreq(n, 0.1), np.fft.rfftfreq(n, 0.1), 1e-6)
    check(fnp.fft.fftshift(fnp.array(REAL)), np.fft.fftshift(REAL), 1e-6)
    check(fnp.fft.ifftshift(fnp.array(REAL), 1), np.fft.ifftshift(REAL, 1), 1e-6)


@pytest.mark.parametrize("n", [5, 6])
@pytest.mark.parametrize("kind", ["rfft", "irfft", "fft"])
def test_derivatives(kind: str, n: int) -> None:
    """Of a real function of real numbers by way of complex ones, by both modes, against differences; and the second."""
    x, t = (fnp.array(RNG.standard_normal((2, n)), "float64") for _ in range(2))
    window = fnp.array(RNG.standard_normal(n), "float64")

    def loss(x: Any) -> Any:
        if kind == "irfft":
            z = fnp.fft.rfft(x) * (1 + 2j)
            return fnp.sum(fnp.sin(fnp.fft.irfft(z, n) * window))
        y = getattr(fnp.fft, kind)(x)
        return fnp.sum(abs(y) ** 2 * (y.real + 1)) + fnp.sum(y.imag**3)

    step = 1e-6
    want = float(loss(x + step * t) - loss(x - step * t)) / (2 * step)
    g = fnn.grad(loss)(x)
    check(fnn.jit(fnn.grad(loss))(x), np.asarray(g), 1e-9)
    assert float(fnp.sum(g * t)) == pytest.approx(want, rel=1e-6)
    assert float(fnn.jvp(loss, (x,), (t,))[1]) == pytest.approx(want, rel=1e-6)
    h = fnn.grad(lambda x: fnp.sum(fnn.grad(loss)(x) * t))
    want = float(fnp.sum((fnn.grad(loss)(x + step * t) - fnn.grad(loss)(x - step * t)) * t)) / (2 * step)
    assert float(fnp.sum(h(x) * t)) == pytest.approx(want, rel=1e-5)


def test_batches() -> None:
    x = fnp.array(REAL)
    check(fnn.vmap(fnp.fft.rfft, 1, 1)(x), np.fft.rfft(REAL), 1e-5)
    lines = RNG.standard_normal((500, 48)).astype("float32")  # several threads
    check(fnn.jit(fnp.fft.rfft)(lines), np.fft.rfft(lines), 2e-5)
    check(fnn.vmap(lambda x: fnp.fft.fft2(x))(x), np.fft.fft2(REAL), 2e-5)


def test_errors() -> None:
    with pytest.raises(DtypeError, match="rfft"):
        fnp.fft.rfft(fnp.array(COMPLEX))
    with pytest.raises(ArgumentError, match="norm"):
        fnp.fft.fft(fnp.ones(3), norm="unit")
    with pytest.raises(ArgumentError, match="points"):
        fnp.fft.fft(fnp.ones(3), 0)
