"""fnn.numpy.fft: discrete Fourier transforms. Names and arguments are NumPy's; numbers stay complex64 and float32 where
NumPy has complex128 and float64, unless they are given with 64 bits."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from fnn import dtypes
from fnn.core.source import describe, here
from fnn.core.trace import aval_of
from fnn.errors import ArgumentError, DtypeError, ShapeError
from fnn.operations.creation import asarray, zeros
from fnn.operations.elementwise import BINARY
from fnn.operations.operands import array_of, axes_of, axis_of, to_dtype
from fnn.operations.shaping import concatenate, cut, moveaxis, roll
from fnn.primitives.fourier import fft as fft_p
from fnn.primitives.matrices import conj

__all__ = [
    "fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "ifft", "ifft2", "ifftn", "ifftshift", "ihfft", "irfft",
    "irfft2", "irfftn", "rfft", "rfft2", "rfftfreq", "rfftn",
]  # fmt: skip

# What a transform of n points is multiplied with, in powers of n, by norm: forward and inverse transforms.
_NORMS = {"backward": (0.0, 0.0), None: (0.0, 0.0), "ortho": (-0.5, 0.5), "forward": (-1.0, 1.0)}
_INVERSE = ("ifft", "irfft")


def _numbers(name: str, x: Any, real: bool) -> Any:
    """An array of floats (real) or complex numbers, of 32 bits or 64."""
    x = array_of(name, x)
    dtype = aval_of(x).dtype
    if dtypes.is_complex(dtype):
        if real:
            raise DtypeError(
                f"{name} takes real numbers, not {aval_of(x)}, at {describe(here())}; fft takes complex ones"
            )
        return x
    dtype = np.dtype(np.float64 if dtypes.to_inexact(dtype) == np.float64 else np.float32)
    return to_dtype(x, dtype if real else dtypes.complex_of(dtype))


def _resized(x: Any, axis: int, n: int) -> Any:
    """The first n numbers along an axis, or all and zeros."""
    have = aval_of(x).shape[axis]
    if have > n:
        return cut(x, axis, 0, n)
    if have < n:
        shape = list(aval_of(x).shape)
        shape[axis] = n - have
        return concatenate([x, zeros(shape, aval_of(x).dtype)], axis)
    return x


def _along(name: str, kind: str, x: Any, n: int | None, axis: int, norm: str | None) -> Any:
    """One transform along one axis."""
    if norm not in _NORMS:
        raise ArgumentError(
            f'{name}: norm is {norm!r}, at {describe(here())}; it must be "backward", "ortho" or "forward"'
        )
    x = _numbers(name, x, kind == "rfft")
    if not aval_of(x).ndim:
        raise ShapeError(f"{name}: {aval_of(x)} has no axis, at {describe(here())}")
    axis = axis_of(name, axis, aval_of(x).ndim)
    size = aval_of(x).shape[axis]
    n = (2 * (size - 1) if kind == "irfft" else size) if n is None else operator.index(n)
    if n < 1:
        raise ArgumentError(
            f"{name}: {n} points along axis {axis} of {aval_of(x)}, at {describe(here())}; give at least 1"
        )
    last = aval_of(x).ndim - 1
    x = moveaxis(_resized(x, axis, n // 2 + 1 if kind == "irfft" else n), axis, last)
    out = fft_p(x, kind=kind, n=n)
    power = _NORMS[norm][kind in _INVERSE]
    if power:
        out = BINARY["multiply"](out, float(n) ** power)
    return moveaxis(out, last, axis)


def fft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The transform sum_j a[j] exp(-2 pi i j k / n) along an axis, complex.

    n: points: a is cut, or followed by zeros. norm: "backward" (the default: the inverse divides by n), "ortho" (both
    divide by sqrt(n)), "forward". Raises ArgumentError for n < 1.

    >>> import fnn.numpy as fnp
    >>> print(fnp.fft.fft(fnp.array([1.0, 0.0, -1.0, 0.0])))
    [0.+0.j 2.+0.j 0.+0.j 2.+0.j]
    """
    return _along("fft", "fft", a, n, axis, norm)


def ifft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The inverse of `fft`; arguments as there."""
    return _along("ifft", "ifft", a, n, axis, norm)


def rfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The first n // 2 + 1 numbers of the transform of n real ones; arguments as of `fft`.

    >>> import fnn, fnn.numpy as fnp
    >>> print(fnp.fft.rfft(fnp.array([1.0, 2.0, 3.0, 4.0])))
    [10.+0.j -2.+2.j -2.+0.j]
    """
    return _along("rfft", "rfft", a, n, axis, norm)


def irfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The inverse of `rfft`, n real numbers (by default 2 (m - 1) of m); arguments as of `fft`."""
    return _along("irfft", "irfft", a, n, axis, norm)


_SWAPPED = {None: "forward", "backward": "forward", "ortho": "ortho", "forward": "backward"}


def _swapped(name: str, norm: str | None) -> str:
    if norm not in _SWAPPED:
        raise ArgumentError(
            f'{name}: norm is {norm!r}, at {describe(here())}; it must be "backward", "ortho" or "forward"'
        )
    return _SWAPPED[norm]


def hfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The transform, real, of numbers of which half are given because they are Hermitian; arguments as of `irfft`."""
    return irfft(conj(array_of("hfft", a)), n, axis, _swapped("hfft", norm))


def ihfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The inverse of `hfft`."""
    return conj(rfft(a, n, axis, _swapped("ihfft", norm)))


# -- several axes ----------------------------------------------------------------------------------------------------


def _plan(name: str, x: Any, s: Any, axes: Any, inverse_real: bool) -> tuple[list[int | None], list[int]]:
    """Points and axes of a transform along several."""
    rank = aval_of(x).ndim
    if s is not None:
        s = [operator.index(n) for n in s]
    if axes is None:
        chosen = list(range(rank) if s is None else range(rank - len(s), rank))
        if chosen and chosen[0] < 0:
            raise ShapeError(f"{name}: s={s} has more entries than {aval_of(x)} axes, at {describe(here())}")
    else:
        chosen = [axis_of(name, d, rank) for d in (axes if isinstance(axes, Sequence) else list(axes))]
    if s is not None and len(s) != len(chosen):
        raise ArgumentError(f"{name}: s={s} and axes={axes} differ in length, at {describe(here())}")
    if not chosen:
        raise ArgumentError(f"{name}: there is no axis to transform, at {describe(here())}")
    return (list(s) if s is not None else [None] * len(chosen)), chosen


def _several(name: str, kind: str, a: Any, s: Any, axes: Any, norm: str | None) -> Any:
    x = array_of(name, a)
    points, chosen = _plan(name, x, s, axes, kind == "irfft")
    order = list(zip(points, chosen, strict=True))
    if kind == "rfft":
        x = _along(name, "rfft", x, *order.pop(), norm)
    whole = {"rfft": "fft", "irfft": "ifft"}.get(kind, kind)
    last = order.pop() if kind == "irfft" else None
    for n, axis in order:
        x = _along(name, whole, x, n, axis, norm)
    return x if last is None else _along(name, "irfft", x, *last, norm)


def fftn(a: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Any:
    """`fft` along several axes (all of them by default); s: points along each."""
    return _several("fftn", "fft", a, s, axes, norm)


def ifftn(a: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Any:
    """The inverse of `fftn`."""
    return _several("ifftn", "ifft", a, s, axes, norm)


def rfftn(a: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Any:
    """`rfft` along the last of several axes, `fft` along the others."""
    return _several("rfftn", "rfft", a, s, axes, norm)


def irfftn(a: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Any:
    """The inverse of `rfftn`."""
    return _several("irfftn", "irfft", a, s, axes, norm)


def _two(name: str, axes: Any) -> Any:
    if len(tuple(axes)) != 2:
        raise ArgumentError(f"{name} transforms two axes, not axes={axes}, at {describe(here())}")
    return axes


def fft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None) -> Any:
    """`fftn` along two axes."""
    return fftn(a, s, _two("fft2", axes), norm)


def ifft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None) -> Any:
    """The inverse of `fft2`."""
    return ifftn(a, s, _two("ifft2", axes), norm)


def rfft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None) -> Any:
    """`rfftn` along two axes."""
    return rfftn(a, s, _two("rfft2", axes), norm)


def irfft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None) -> Any:
    """The inverse of `rfft2`."""
    return irfftn(a, s, _two("irfft2", axes), norm)


# -- frequencies -----------------------------------------------------------------------------------------------------


def fftfreq(n: int, d: Any = 1.0, *, dtype: Any = None, device: Any = None) -> Any:
    """The frequencies that the numbers of `fft` belong to, in cycles a unit of the sample spacing d: [n].

    >>> import fnn.numpy as fnp
    >>> print(fnp.fft.fftfreq(4, 0.5))
    [ 0.   0.5 -1.  -0.5]
    """
    n = operator.index(n)
    k = np.concatenate([np.arange((n + 1) // 2), np.arange(-(n // 2), 0)])
    return _frequencies("fftfreq", k, n, d, dtype)


def rfftfreq(n: int, d: Any = 1.0, *, dtype: Any = None, device: Any = None) -> Any:
    """The frequencies that the numbers of `rfft` belong to: [n // 2 + 1]."""
    n = operator.index(n)
    return _frequencies("rfftfreq", np.arange(n // 2 + 1), n, d, dtype)


def _frequencies(name: str, k: np.ndarray, n: int, d: Any, dtype: Any) -> Any:
    if n < 1:
        raise ArgumentError(f"{name}: n={n}, at {describe(here())}; it must be positive")
    dtype = dtypes.default_float() if dtype is None else dtypes.as_dtype(dtype)
    return BINARY["divide"](asarray(k, dtype), BINARY["multiply"](d, n))


def _shifted(name: str, x: Any, axes: Any, sign: int) -> Any:
    x = array_of(name, x)
    chosen = axes_of(name, axes, aval_of(x).ndim)
    halves = [(aval_of(x).shape[d] // 2) if sign > 0 else -(aval_of(x).shape[d] // 2) for d in chosen]
    return roll(x, tuple(halves), chosen)


def fftshift(x: Any, axes: Any = None) -> Any:
    """With frequency 0 in the middle of the axes (all by default)."""
    return _shifted("fftshift", x, axes, 1)


def ifftshift(x: Any, axes: Any = None) -> Any:
    """The inverse of `fftshift`."""
    return _shifted("ifftshift", x, axes, -1)
