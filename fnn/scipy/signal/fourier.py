"""Convolutions by way of the Fourier transform."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fnn import numpy as fnp
from fnn.operations.operands import axes_of, broadcast_shapes
from fnn.scipy.signal.convolutions import extent, operands


def _smooth(n: int) -> int:
    """The next number whose only prime factors are 2, 3 and 5, for which the transform is fast."""
    while True:
        left = n
        for prime in (2, 3, 5):
            while left % prime == 0:
                left //= prime
        if left == 1:
            return n
        n += 1


def fftconvolve(in1: Any, in2: Any, mode: str = "full", axes: int | Sequence[int] | None = None) -> Any:
    """The convolution of two arrays with the same number of axes, in time n log n; modes as for `convolve`.

    axes: those to convolve over (None: all of them); the others are broadcast. The error is that of the largest element of
    the result. Raises ShapeError for other shapes, ArgumentError for another mode.

    >>> from fnn.scipy.signal import fftconvolve
    >>> import fnn.numpy as fnp
    >>> print(fftconvolve(fnp.array([1.0, 2.0, 3.0]), fnp.array([1.0, 1.0])).round(5))
    [1. 3. 5. 3.]
    """
    x, y = operands("fftconvolve", in1, in2, mode)
    over = axes_of("fftconvolve", None if axes is None else axes, x.ndim)
    lengths = tuple(x.shape[a] for a in over), tuple(y.shape[a] for a in over)
    starts, shape = extent("fftconvolve", lengths[0], lengths[1], mode)
    rest = [tuple([1 if a in over else n for a, n in enumerate(v.shape)]) for v in (x, y)]
    broadcast_shapes("fftconvolve", *rest)
    if not over:
        return x * y
    whole = [_smooth(n + m - 1) for n, m in zip(*lengths)]
    real = not fnp.iscomplexobj(x)
    forward, back = (fnp.fft.rfftn, fnp.fft.irfftn) if real else (fnp.fft.fftn, fnp.fft.ifftn)
    out = back(forward(x, whole, over) * forward(y, whole, over), whole, over)
    cuts = [slice(None)] * x.ndim
    for axis, start, size in zip(over, starts, shape):
        cuts[axis] = slice(start, start + size)
    return out[tuple(cuts)]
