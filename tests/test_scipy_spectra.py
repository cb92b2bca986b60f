"""fnn.scipy.signal's spectra against SciPy, with derivatives, jit and vmap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.signal as reference

import fnn
import fnn.numpy as fnp
from fnn.errors import ArgumentError, ShapeError
from fnn.scipy import signal
from fnn.test_util import check_grads

RNG = np.random.default_rng(41)
X, Y = RNG.normal(size=(2, 3, 50)).cumsum(-1)


def double(x: Any) -> Any:
    return fnp.asarray(x, "complex128" if np.iscomplexobj(x) else "float64")


def close(got: Any, want: Any) -> None:
    assert len(got) == len(want)
    for g, w in zip(got, want):
        assert g.dtype == np.asarray(w).dtype
        np.testing.assert_allclose(g, w, 1e-9, 1e-11)


STFT: list[dict[str, Any]] = [
    {"nperseg": 16}, {"nperseg": 15, "noverlap": 10}, {"nperseg": 8, "nfft": 20, "fs": 4.0},
    {"nperseg": 8, "noverlap": 0, "window": "hamming"},
    {"nperseg": 16, "boundary": None, "padded": False}, {"nperseg": 12, "boundary": "even"},
    {"nperseg": 12, "boundary": "odd", "detrend": "linear"}, {"nperseg": 12, "boundary": "constant", "detrend": "constant"},
    {"nperseg": 16, "window": "hamming", "return_onesided": False}, {"nperseg": 11, "window": np.hanning(11) + 0.1},
    {"nperseg": 16, "window": ("kaiser", 4.0)}, {"nperseg": 1, "noverlap": 0},
]  # fmt: skip


@pytest.mark.parametrize("options", STFT, ids=str)
def test_stft_and_its_inverse(options: dict[str, Any]) -> None:
    close(signal.stft(double(X), **options), reference.stft(X, **options))
    close(signal.stft(double(X.T), axis=0, **options), reference.stft(X.T, axis=0, **options))
    if not options.get("padded", True) or options.get("detrend"):
        return
    z = reference.stft(X, **options)[2]
    size = options["nperseg"]
    back = {k: v for k, v in options.items() if k in ("noverlap", "nfft", "fs", "window")}
    back |= {"nperseg": size, "input_onesided": options.get("return_onesided", True)}
    if size > 1:  # SciPy cuts half a segment of nothing off, and so everything
        want = reference.istft(z, **back)
        close(signal.istft(double(z), **back)[1:], want[1:])
        turned = np.moveaxis(z, (1, 2), (2, 0))
        close(
            signal.istft(double(turned), time_axis=0, freq_axis=2, **back)[1:], [np.moveaxis(want[1], 1, 0)]
        )
    times, x = signal.istft(double(z), **back)
    np.testing.assert_allclose(x[:, :50], X, 1e-9, 1e-9)
    np.testing.assert_allclose(times, np.arange(x.shape[1]) / options.get("fs", 1.0))


def one_less(x: Any) -> Any:
    return x - 1.0


def named(options: dict[str, Any]) -> str:
    return ",".join(f"{k}={getattr(v, '__name__', v)}" for k, v in options.items())


WELCH: list[dict[str, Any]] = [
    {"nperseg": 16}, {"nperseg": 15, "noverlap": 4, "fs": 2.5}, {"nperseg": 50}, {"nperseg": 8, "nfft": 21},
    {"nperseg": 16, "scaling": "spectrum"}, {"nperseg": 8, "average": "median"}, {"nperseg": 16, "detrend": False},
    {"nperseg": 16, "detrend": "linear"}, {"nperseg": 16, "detrend": one_less},
    {"nperseg": 16, "return_onesided": False, "window": "blackman"},
]  # fmt: skip


@pytest.mark.parametrize("options", WELCH, ids=named)
def test_welch_and_csd(options: dict[str, Any]) -> None:
    close(signal.welch(double(X), **options), reference.welch(X, **options))
    close(signal.welch(double(X.T), axis=0, **options), reference.welch(X.T, axis=0, **options))
    close(signal.csd(double(X), double(Y), **options), reference.csd(X, Y, **options))
    if "nperseg" in options and options["nperseg"] <= 30:
        close(signal.csd(double(X), double(Y[:, :30]), **options), reference.csd(X, Y[:, :30], **options))
        close(signal.csd(double(X), double(Y[:1]), **options), reference.csd(X, Y[:1], **options))


def test_spectra_of_complex_signals() -> None:
    z = X + 1j * Y
    for f, theirs in ((signal.stft, reference.stft), (signal.welch, reference.welch)):
        want = theirs(z, nperseg=16, return_onesided=False)
        with pytest.warns(UserWarning, match="both sides"):
            close(f(double(z), nperseg=16), want)


def test_spectra_in_32_bits() -> None:
    x = fnp.asarray(X, "float32")
    assert [v.dtype for v in signal.stft(x, nperseg=16)] == ["float32", "float32", "complex64"]
    np.testing.assert_allclose(signal.welch(x, nperseg=16)[1], reference.welch(X, nperseg=16)[1], 2e-4)
    assert signal.welch(fnp.arange(20))[1].dtype == fnp.float32
    assert signal.welch(x)[1].shape == (3, 26)  # one segment, as in JAX


def test_spectra_under_transformations() -> None:
    x = double(X)
    power = lambda x: signal.welch(x, nperseg=16)[1]
    np.testing.assert_allclose(fnn.jit(fnn.vmap(power))(x), reference.welch(X, nperseg=16)[1], 1e-9)
    check_grads(power, (x[0],), 1, atol=1e-5, rtol=1e-5)
    there_and_back = lambda x: signal.istft(signal.stft(x, nperseg=8)[2])[1][:50]
    np.testing.assert_allclose(fnn.jit(there_and_back)(x[0]), X[0], 1e-9, 1e-9)
    check_grads(there_and_back, (x[0],), 1, atol=1e-6, rtol=1e-6)


def test_spectra_refuse() -> None:
    x = fnp.ones((2, 20))
    with pytest.raises(ArgumentError, match="noverlap"):
        signal.stft(x, nperseg=8, noverlap=8)
    with pytest.raises(ArgumentError, match="nfft"):
        signal.stft(x, nperseg=8, nfft=4)
    with pytest.raises(ArgumentError, match="boundary"):
        signal.stft(x, nperseg=8, boundary="round")
    with pytest.raises(ArgumentError, match="nperseg"):
        signal.stft(x, nperseg=0)
    with pytest.raises(ShapeError, match="window"):
        signal.stft(x, window=np.ones(30))
    with pytest.raises(ArgumentError, match="scaling"):
        signal.welch(x, scaling="log")
    with pytest.raises(ArgumentError, match="average"):
        signal.welch(x, average="mode")
    with pytest.raises(ShapeError, match="as many axes"):
        signal.csd(x, x[0])
    with pytest.raises(ShapeError, match="no samples"):
        signal.welch(fnp.ones(0))
    with pytest.warns(UserWarning, match="nperseg=30"):
        signal.welch(x, nperseg=30)
    with pytest.raises(ArgumentError, match="both 0"):
        signal.istft(fnp.ones((3, 4), "complex64"), time_axis=0, freq_axis=0)
    with pytest.raises(ShapeError, match="frequencies"):
        signal.istft(fnp.ones(3, "complex64"))
    with pytest.raises(ArgumentError, match="nfft"):
        signal.istft(fnp.ones((3, 4), "complex64"), nperseg=9)
