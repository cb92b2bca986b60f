"""Convolutions and correlations of arrays with any number of axes, as sums of products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fnn import lax
from fnn import numpy as fnp
from fnn.core.source import describe, here
from fnn.errors import ArgumentError, ShapeError
from fnn.operations.operands import array_of, meet

_BOUNDARIES = {"fill": "constant", "wrap": "wrap", "symm": "symmetric"}  # the names of fnn.numpy.pad


def operands(name: str, in1: Any, in2: Any, mode: str) -> tuple[Any, Any]:
    """Both as inexact arrays of one dtype with the same number of axes, none of them empty."""
    x, y = meet(name, array_of(name, in1), array_of(name, in2), mode="inexact", spread=False)
    if mode not in ("full", "same", "valid"):
        raise ArgumentError(f"{name}: mode {mode!r}, at {describe(here())}; it is full, same or valid")
    if x.ndim != y.ndim or not x.size or not y.size:
        raise ShapeError(
            f"{name}: {x.aval} and {y.aval}, at {describe(here())}; both need the same number of axes, and elements"
        )
    return x, y


def extent(name: str, x: tuple[int, ...], y: tuple[int, ...], mode: str) -> tuple[list[int], tuple[int, ...]]:
    """(where the result begins in the full convolution, its shape), for operands of the shapes x and y."""
    pairs = list(zip(x, y))
    if mode == "valid" and not (all(n >= m for n, m in pairs) or all(n <= m for n, m in pairs)):
        raise ShapeError(
            f"{name}: the shapes {x} and {y}, at {describe(here())}; in valid mode one is at least as large as the other "
            "along every axis"
        )
    if mode == "valid":
        return [min(n, m) - 1 for n, m in pairs], tuple(abs(n - m) + 1 for n, m in pairs)
    if mode == "same":
        return [(m - 1) // 2 for _, m in pairs], x
    return [0] * len(pairs), tuple(n + m - 1 for n, m in pairs)


def _direct(name: str, in1: Any, in2: Any, mode: str, precision: Any) -> Any:
    x, y = operands(name, in1, in2, mode)
    starts, shape = extent(name, x.shape, y.shape, mode)
    if not x.ndim:
        return x * y
    if y.size > x.size:
        x, y = y, x
    pads = [(m - 1 - s, out + s - n) for n, m, s, out in zip(x.shape, y.shape, starts, shape)]
    whole = lax.conv_general_dilated(
        x[None, None], fnp.flip(y)[None, None], (1,) * x.ndim, pads, precision=precision
    )
    return whole[0, 0]


def convolve(in1: Any, in2: Any, mode: str = "full", method: str = "auto", precision: Any = None) -> Any:
    """The convolution of two arrays with the same number of axes.

    mode: "full", all overlaps (the sizes' sum less 1); "same", the middle of them, in the shape of in1; "valid", those
    where one lies inside of the other. method: "direct" (and "auto"), sums of products, or "fft", as `fftconvolve`.
    Raises ShapeError for other shapes, ArgumentError for another mode or method.

    >>> from fnn.scipy.signal import convolve
    >>> import fnn.numpy as fnp
    >>> print(convolve(fnp.array([1.0, 2.0, 3.0]), fnp.array([1.0, 1.0])))
    [1. 3. 5. 3.]
    """
    return _by_method("convolve", method, precision)(in1, in2, mode)


def correlate(in1: Any, in2: Any, mode: str = "full", method: str = "auto", precision: Any = None) -> Any:
    """The correlation of two arrays: the convolution with the second one's conjugate, reversed along all axes.
    Arguments as for `convolve`.

    >>> from fnn.scipy.signal import correlate
    >>> import fnn.numpy as fnp
    >>> print(correlate(fnp.array([1.0, 2.0, 3.0]), fnp.array([0.0, 1.0]), mode="valid"))
    [2. 3.]
    """
    reversed_ = fnp.flip(fnp.conj(array_of("correlate", in2)))
    return _by_method("correlate", method, precision)(in1, reversed_, mode)


def _by_method(name: str, method: str, precision: Any) -> Callable[[Any, Any, str], Any]:
    if method not in ("auto", "direct", "fft"):
        raise ArgumentError(f"{name}: method {method!r}, at {describe(here())}; it is auto, direct or fft")
    if method == "fft":
        from fnn.scipy.signal.fourier import fftconvolve  # which this is imported by

        return fftconvolve
    return lambda x, y, mode: _direct(name, x, y, mode, precision)


def convolve2d(
    in1: Any,
    in2: Any,
    mode: str = "full",
    boundary: str = "fill",
    fillvalue: float = 0,
    precision: Any = None,
) -> Any:
    """The convolution of two matrices; modes as for `convolve`.

    boundary: how in1 goes on past its edges (in2, where that is the larger one in valid mode): "fill" with fillvalue,
    "wrap" around or "symm"etric. Raises ShapeError for other shapes, ArgumentError for another mode or boundary."""
    return _two_axes("convolve2d", in1, in2, mode, boundary, fillvalue, precision)


def correlate2d(
    in1: Any,
    in2: Any,
    mode: str = "full",
    boundary: str = "fill",
    fillvalue: float = 0,
    precision: Any = None,
) -> Any:
    """The correlation of two matrices: the convolution with in2's conjugate, reversed. Arguments as for `convolve2d`."""
    reversed_ = fnp.flip(fnp.conj(array_of("correlate2d", in2)))
    return _two_axes("correlate2d", in1, reversed_, mode, boundary, fillvalue, precision)


def _two_axes(
    name: str, in1: Any, in2: Any, mode: str, boundary: str, fillvalue: float, precision: Any
) -> Any:
    x, y = operands(name, in1, in2, mode)
    if x.ndim != 2:
        raise ShapeError(f"{name}: {x.aval} and {y.aval} are not two matrices, at {describe(here())}")
    if boundary not in _BOUNDARIES:
        raise ArgumentError(f"{name}: boundary {boundary!r}, at {describe(here())}; it is fill, wrap or symm")
    starts, shape = extent(name, x.shape, y.shape, mode)
    if mode == "same" and name == "correlate2d":
        starts = [m // 2 for m in y.shape]  # SciPy centres correlations so
    if mode == "valid" or (boundary == "fill" and isinstance(fillvalue, (int, float)) and fillvalue == 0):
        return _cut(_direct(name, x, y, "full", precision), starts, shape)
    values = {"constant_values": fillvalue} if boundary == "fill" else {}
    padded = fnp.pad(x, [(m - 1, m - 1) for m in y.shape], mode=_BOUNDARIES[boundary], **values)
    full = _direct(name, padded, y, "full", precision)
    return _cut(full, [s + m - 1 for s, m in zip(starts, y.shape)], shape)


def _cut(x: Any, starts: list[int], shape: tuple[int, ...]) -> Any:
    return x[tuple([slice(s, s + n) for s, n in zip(starts, shape)])]
