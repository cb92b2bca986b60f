"""Spectra of stretches of a signal: the short-time Fourier transform and its inverse, Welch's estimates."""

from __future__ import annotations

import operator
import warnings
from typing import Any

import numpy as np

from fnn import dtypes, lax
from fnn import numpy as fnp
from fnn.core.source import describe, here
from fnn.errors import ArgumentError, ShapeError
from fnn.operations.operands import array_of, axis_of, broadcast_shapes, meet
from fnn.scipy.signal.trends import detrend as without_trend

_EXTENSIONS = {"zeros": "constant", "even": "reflect", "constant": "edge"}  # the names of fnn.numpy.pad


def _window(name: str, window: Any, nperseg: int | None, limit: int, dtype: Any) -> Any:
    """The window's values; nperseg is cut to the limit for windows given by name."""
    if isinstance(window, (str, tuple)):
        n = limit if nperseg is None else operator.index(nperseg)
        if n > limit:
            warnings.warn(
                f"{name}: nperseg={n} is more than the signal's {limit} samples, which are used", stacklevel=4
            )
            n = limit
        if n < 1:
            raise ArgumentError(f"{name}: nperseg={n}, at {describe(here())}; a segment has 1 sample or more")
        if window == "hann":
            return fnp.asarray(np.sin(np.pi * np.arange(n) / n) ** 2 if n > 1 else np.ones(1), dtype)
        from scipy.signal import get_window

        return fnp.asarray(get_window(window, n), dtype)
    values = fnp.asarray(window, dtype)
    if values.ndim != 1 or not 0 < values.shape[0] <= limit or nperseg not in (None, values.shape[0]):
        raise ShapeError(
            f"{name}: the window {values.aval} for {limit} samples and nperseg={nperseg}, at {describe(here())}; a window is "
            "a vector as long as a segment, and no longer than the signal"
        )
    return values


def _overlap(name: str, noverlap: int | None, nperseg: int) -> int:
    n = nperseg // 2 if noverlap is None else operator.index(noverlap)
    if not 0 <= n < nperseg:
        raise ArgumentError(f"{name}: noverlap={n}, at {describe(here())}; it is less than nperseg={nperseg}")
    return n


def _length(name: str, nfft: int | None, nperseg: int) -> int:
    n = nperseg if nfft is None else operator.index(nfft)
    if n < nperseg:
        raise ArgumentError(f"{name}: nfft={n}, at {describe(here())}; it is at least nperseg={nperseg}")
    return n


def _extended(name: str, x: Any, n: int, boundary: str | None) -> Any:
    """x with n more samples at both ends of its last axis."""
    if boundary is None or n == 0:
        return x
    if boundary not in (*_EXTENSIONS, "odd"):
        raise ArgumentError(
            f"{name}: boundary {boundary!r}, at {describe(here())}; it is zeros, even, odd, constant or None"
        )
    widths = [(0, 0)] * (x.ndim - 1) + [(n, n)]
    if boundary == "odd":  # reflected in the end points
        ends = 2 * fnp.pad(x, widths, "edge") - fnp.pad(x, widths, "reflect")
        return fnp.concatenate([ends[..., :n], x, ends[..., -n:]], -1)
    return fnp.pad(x, widths, _EXTENSIONS[boundary])


def _segments(x: Any, size: int, step: int) -> Any:
    """(..., segments, size) of (..., samples)."""
    starts = np.arange(0, x.shape[-1] - size + 1, step)
    return x[..., (starts[:, None] + np.arange(size)).astype(np.int32)]


def _spectra(
    name: str, x: Any, y: Any, fs: Any, window: Any, nperseg: int | None, noverlap: int | None, nfft: int | None,
    detrend: Any, return_onesided: bool, scaling: str, axis: int, boundary: str | None = None, padded: bool = False,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """(frequencies, times, spectra): for stft the transforms of x's segments, else their squares or products with y's.

    The frequencies lie along `axis`, the segments along the last one."""
    short = name == "stft"
    given = [array_of(name, v) for v in ((x,) if y is None else (x, y))]
    signals = meet(name, *given, mode="inexact", spread=False)
    place = axis_of(name, axis, signals[0].ndim)
    if any(s.ndim != signals[0].ndim for s in signals):
        raise ShapeError(
            f"{name}: {signals[0].aval} and {signals[-1].aval}, at {describe(here())}; both need as many axes"
        )
    signals = [fnp.moveaxis(s, place, -1) for s in signals]
    broadcast_shapes(name, *[s.shape[:-1] for s in signals])
    dtype = dtypes.real_of(signals[0].dtype)
    n = max(s.shape[-1] for s in signals)
    if any(0 in s.shape for s in signals):
        raise ShapeError(f"{name}: {signals[0].aval} has no samples, at {describe(here())}")
    if scaling not in ("density", "spectrum"):
        raise ArgumentError(f"{name}: scaling {scaling!r}, at {describe(here())}; it is density or spectrum")
    win = _window(name, window, nperseg, n, dtype)
    size = win.shape[0]
    step = size - _overlap(name, noverlap, size)
    points = _length(name, nfft, size)
    one_sided = return_onesided and not fnp.iscomplexobj(signals[0])
    if return_onesided and not one_sided:
        warnings.warn(f"{name}: the signal is complex: both sides of the spectrum are returned", stacklevel=3)

    def transformed(s: Any) -> Any:
        s = fnp.pad(s, [(0, 0)] * (s.ndim - 1) + [(0, n - s.shape[-1])])
        s = _extended(name, s, size // 2, boundary)
        if padded:
            s = fnp.pad(s, [(0, 0)] * (s.ndim - 1) + [(0, -(s.shape[-1] - size) % step)])
        parts = _segments(s, size, step)
        if callable(detrend):
            parts = (
                fnp.moveaxis(detrend(fnp.moveaxis(parts, -1, place)), place, -1)
                if place != s.ndim - 1
                else detrend(parts)
            )
        elif detrend:
            parts = without_trend(parts, type=detrend)
        return (fnp.fft.rfft if one_sided else fnp.fft.fft)(parts * win, points)

    found = [transformed(s) for s in signals]
    scale = 1 / (fs * fnp.sum(win * win)) if scaling == "density" else 1 / fnp.square(fnp.sum(win))
    if short:
        out = found[0] * fnp.sqrt(scale).astype(dtype)
    elif y is None:
        out = (fnp.square(found[0].real) + fnp.square(found[0].imag)) * fnp.asarray(scale, dtype)
    else:
        out = fnp.conj(found[0]) * found[1] * fnp.asarray(scale, dtype)
    if one_sided and not short:  # the frequencies that stand for their negatives as well
        both = np.full(points // 2 + 1, 2.0)
        both[0] = 1.0
        if points % 2 == 0:
            both[-1] = 1.0
        out = out * fnp.asarray(both, dtype)
    length = n + (2 * (size // 2) if boundary is not None else 0)
    length += -(length - size) % step if padded else 0
    middle = np.arange(size / 2, length - size / 2 + 1, step) - (size / 2 if boundary is not None else 0)
    times = fnp.asarray(middle, dtype) / fs
    frequencies = (fnp.fft.rfftfreq if one_sided else fnp.fft.fftfreq)(points, 1 / fs, dtype=dtype)
    return frequencies, times, fnp.moveaxis(out, -1, place)


def stft(
    x: Any, fs: Any = 1.0, window: Any = "hann", nperseg: int | None = 256, noverlap: int | None = None,
    nfft: int | None = None, detrend: Any = False, return_onesided: bool = True, boundary: str | None = "zeros",
    padded: bool = True, axis: int = -1,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """(frequencies, times, Z): the Fourier transforms of overlapping, windowed segments of x along an axis.

    Z has the frequencies along that axis and the segments along a new last one; complex. fs: the samples per unit of time.
    window: a name of SciPy's ("hann", ("kaiser", 8.0)) or a vector. nperseg: samples of a segment, by default 256 or the
    window's; noverlap: how many of them two neighbours share (half); nfft: the length of the transform, zeros filled in.
    detrend: "constant", "linear", a function of the segments or False. return_onesided: only the frequencies from 0 on,
    for real x. boundary: how x is extended by half a segment at both ends: "zeros", "even", "odd", "constant", None.
    padded: fill up with zeros to a whole number of segments. Raises ArgumentError or ShapeError for what does not fit.

    >>> from fnn.scipy.signal import stft
    >>> import fnn.numpy as fnp
    >>> f, t, z = stft(fnp.sin(fnp.arange(100.0)), nperseg=16)
    >>> f.shape, t.shape, z.shape
    ((9,), (14,), (9, 14))
    """
    if not isinstance(window, (str, tuple)) and nperseg == 256:
        nperseg = None
    return _spectra(
        "stft", x, None, fs, window, nperseg, noverlap, nfft, detrend, return_onesided, "spectrum", axis, boundary, padded
    )  # fmt: skip


def csd(
    x: Any, y: Any, fs: Any = 1.0, window: Any = "hann", nperseg: int | None = None, noverlap: int | None = None,
    nfft: int | None = None, detrend: Any = "constant", return_onesided: bool = True, scaling: str = "density",
    axis: int = -1, average: str = "mean",
) -> tuple[Any, Any]:  # fmt: skip
    """(frequencies, P): the cross spectral density of x and y by Welch's method; y None: the density of x, real.

    The shorter one is filled with zeros. nperseg: by default the whole signal, as in JAX (SciPy takes 256). scaling:
    "density" (per unit of frequency) or "spectrum". average: the "mean" over the segments or their "median", without its
    bias. The other arguments as for `stft`. Source: Welch, "The use of fast Fourier transform for the estimation of power
    spectra", 1967.
    """
    if average not in ("mean", "median"):
        raise ArgumentError(f"csd: average {average!r}, at {describe(here())}; it is mean or median")
    frequencies, _, spectra = _spectra(
        "csd", x, y, fs, window, nperseg, noverlap, nfft, detrend, return_onesided, scaling, axis
    )  # fmt: skip
    if average == "mean":
        return frequencies, fnp.mean(spectra, -1)
    k = np.arange(2, spectra.shape[-1], 2)
    bias = float(1 + np.sum(1 / (k + 1) - 1 / k))  # of the median of that many: Allen et al., FINDCHIRP, 2012
    if y is None:
        return frequencies, fnp.median(spectra, -1) / bias
    parts = [fnp.median(part, -1) / bias for part in (spectra.real, spectra.imag)]
    return frequencies, lax.complex(*parts)


def welch(
    x: Any, fs: Any = 1.0, window: Any = "hann", nperseg: int | None = None, noverlap: int | None = None,
    nfft: int | None = None, detrend: Any = "constant", return_onesided: bool = True, scaling: str = "density",
    axis: int = -1, average: str = "mean",
) -> tuple[Any, Any]:  # fmt: skip
    """(frequencies, P): the power spectral density of x by Welch's method, real. Arguments as for `csd`.

    >>> from fnn.scipy.signal import welch
    >>> import fnn.numpy as fnp
    >>> f, p = welch(fnp.sin(fnp.arange(64.0) * fnp.pi / 4), nperseg=32)
    >>> print(f[fnp.argmax(p)])
    0.125
    """
    return csd(
        x, None, fs, window, nperseg, noverlap, nfft, detrend, return_onesided, scaling, axis, average
    )  # fmt: skip


def _added(segments: Any, step: int) -> Any:
    """The sum of (..., segments, size), each `step` after the one before: (..., samples)."""
    count, size = segments.shape[-2:]
    total = fnp.zeros((*segments.shape[:-2], (count - 1) * step + size), segments.dtype)
    places = (np.arange(count)[:, None] * step + np.arange(size)).astype(np.int32)
    return total.at[..., places].add(segments)


def istft(
    Zxx: Any, fs: Any = 1.0, window: Any = "hann", nperseg: int | None = None, noverlap: int | None = None,
    nfft: int | None = None, input_onesided: bool = True, boundary: bool = True, time_axis: int = -1,
    freq_axis: int = -2,
) -> tuple[Any, Any]:  # fmt: skip
    """(times, x): the signal with the short-time Fourier transform Zxx, the least-squares one where it is none.

    Arguments as for `stft`, which they must agree with; nperseg: by default what the number of frequencies says. boundary:
    cut off the half segments by which `stft` had extended the signal. time_axis, freq_axis: of Zxx; the samples lie along
    the time axis, less the frequencies'. Source: Griffin and Lim, "Signal estimation from modified short-time Fourier
    transform", 1984.

    >>> from fnn.scipy.signal import istft, stft
    >>> import fnn.numpy as fnp
    >>> print(istft(stft(fnp.arange(6.0), nperseg=4)[2])[1].round(5))
    [0. 1. 2. 3. 4. 5.]
    """
    z = array_of("istft", Zxx)
    if z.ndim < 2:
        raise ShapeError(
            f"istft: {z.aval}, at {describe(here())}; it has an axis of frequencies and one of times"
        )
    frequency, time = (axis_of("istft", a, z.ndim) for a in (freq_axis, time_axis))
    if frequency == time:
        raise ArgumentError(f"istft: time_axis and freq_axis are both {time}, at {describe(here())}")
    count = z.shape[frequency]
    full = 2 * (count - 1) if input_onesided else count
    size = full if nperseg is None else operator.index(nperseg)
    if size < 1:
        raise ArgumentError(f"istft: nperseg={size}, at {describe(here())}; a segment has 1 sample or more")
    odd = input_onesided and size == full + 1  # an odd length has as many frequencies as the even one before
    points = _length("istft", (full + 1 if odd else full) if nfft is None else nfft, size)
    step = size - _overlap("istft", noverlap, size)
    z = fnp.moveaxis(z, (time, frequency), (-2, -1))
    segments = (fnp.fft.irfft if input_onesided else fnp.fft.ifft)(z, points)[..., :size]
    win = _window("istft", window, size, size, dtypes.real_of(segments.dtype))
    x = _added(segments * (win * fnp.sum(win)), step)
    norm = _added(fnp.broadcast_to(win * win, segments.shape[-2:]), step)
    if boundary:
        x, norm = (v[..., size // 2 : v.shape[-1] - size // 2] for v in (x, norm))
    x = x / fnp.where(norm > 1e-10, norm, 1)
    times = fnp.arange(x.shape[-1], dtype=norm.dtype) / fs
    return times, fnp.moveaxis(x, -1, time - (frequency < time))
