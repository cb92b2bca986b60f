"""Cosine transforms, type 2.

>>> import fnn.numpy as fnp
>>> from fnn.scipy import fft
>>> x = fnp.array([1.0, 2.0, 4.0])
>>> print(fft.idct(fft.dct(x)).round(5))
[1. 2. 4.]
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fnn import lax
from fnn import numpy as fnp
from fnn.core.source import describe, here
from fnn.errors import ArgumentError, UnsupportedError
from fnn.operations.operands import axes_of, meet

__all__ = ["dct", "dctn", "idct", "idctn"]


def dct(x: Any, type: int = 2, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The cosine transform 2 sum_j x[j] cos(pi k (2j + 1) / 2n) along an axis, k = 0 ... n - 1.

    n: the length, to which x is cut or filled with zeros. norm: None or "backward", as above; "forward", divided by 2n;
    "ortho", an orthogonal matrix. Complex numbers are transformed part by part. Raises UnsupportedError for another type
    than 2, ArgumentError for another norm. Source: Makhoul, "A fast cosine transform in one and two dimensions", 1980.
    """
    return _over("dct", _dct, x, type, None if n is None else [n], axis, norm)


def idct(x: Any, type: int = 2, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The inverse of `dct` with the same arguments."""
    return _over("idct", _idct, x, type, None if n is None else [n], axis, norm)


def dctn(
    x: Any,
    type: int = 2,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str | None = None,
) -> Any:
    """`dct` along several axes: the last len(s) if only the lengths s are given, else all of them."""
    return _over("dctn", _dct, x, type, s, axes, norm)


def idctn(
    x: Any,
    type: int = 2,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str | None = None,
) -> Any:
    """The inverse of `dctn` with the same arguments."""
    return _over("idctn", _idct, x, type, s, axes, norm)


def _over(
    name: str, f: Callable[[Any, str], Any], x: Any, type: int, s: Any, axes: Any, norm: str | None
) -> Any:
    """f along every axis, cut or filled to its length."""
    if type != 2:
        raise UnsupportedError(f"{name}: type {type!r}, at {describe(here())}; type 2 is there")
    if norm not in (None, "backward", "forward", "ortho"):
        raise ArgumentError(
            f"{name}: norm {norm!r}, at {describe(here())}; it is backward, forward, ortho or None"
        )
    (x,) = meet(name, fnp.asarray(x), mode="inexact", spread=False)
    if fnp.iscomplexobj(x):
        return lax.complex(*[_over(name, f, part, type, s, axes, norm) for part in (x.real, x.imag)])
    sizes = None if s is None else [operator.index(n) for n in np.atleast_1d(s)]
    if axes is None and sizes is not None:
        axes = tuple(range(x.ndim - len(sizes), x.ndim))
    places = axes_of(name, axes if axes is None or isinstance(axes, int) else tuple(axes), x.ndim)
    sizes = [x.shape[a] for a in places] if sizes is None else sizes
    if len(sizes) != len(places) or min(sizes, default=1) < 1:
        raise ArgumentError(
            f"{name}: lengths {sizes} for the axes {places} of {x.aval}, at {describe(here())}; each is 1 or more"
        )
    for axis, n in zip(places, sizes):
        moved = fnp.moveaxis(x, axis, -1)[..., :n]
        if moved.shape[-1] < n:
            moved = fnp.pad(moved, [(0, 0)] * (x.ndim - 1) + [(0, n - moved.shape[-1])])
        x = fnp.moveaxis(f(moved, norm or "backward"), -1, axis)
    return x


def _turns(n: int, dtype: Any) -> tuple[Any, Any]:
    """cos and sin of pi k / 2n for k = 0 ... n // 2."""
    angles = np.pi * np.arange(n // 2 + 1) / (2 * n)
    return fnp.asarray(np.cos(angles), dtype), fnp.asarray(np.sin(angles), dtype)


def _scales(n: int, norm: str, dtype: Any) -> Any:
    """What the norm multiplies the transform with."""
    scale = np.full(n, {"backward": 1.0, "forward": 1 / (2 * n), "ortho": (2 * n) ** -0.5}[norm])
    if norm == "ortho":
        scale[0] = (4 * n) ** -0.5
    return fnp.asarray(scale, dtype)


def _dct(x: Any, norm: str) -> Any:
    n = x.shape[-1]
    # the even elements, then the odd ones backwards: their Fourier transform, turned, is the cosine transform
    spectrum = fnp.fft.rfft(fnp.concatenate([x[..., ::2], fnp.flip(x[..., 1::2], -1)], -1))
    (cos, sin), re, im = _turns(n, x.dtype), spectrum.real, spectrum.imag
    low, high = re * cos + im * sin, re * sin - im * cos  # k = 0 ... n // 2, and n - k
    out = fnp.concatenate([low, fnp.flip(high[..., 1 : (n + 1) // 2], -1)], -1)
    return 2 * out * _scales(n, norm, x.dtype)


def _idct(x: Any, norm: str) -> Any:
    n = x.shape[-1]
    x = x / (2 * _scales(n, norm, x.dtype))
    cos, sin = _turns(n, x.dtype)
    low = x[..., : n // 2 + 1]
    high = fnp.concatenate([fnp.zeros_like(x[..., :1]), fnp.flip(x[..., n - n // 2 :], -1)], -1)
    mixed = fnp.fft.irfft(lax.complex(low * cos + high * sin, low * sin - high * cos), n)
    even, odd = mixed[..., : (n + 1) // 2], fnp.flip(mixed[..., (n + 1) // 2 :], -1)
    odd = fnp.concatenate([odd, fnp.zeros_like(even[..., odd.shape[-1] :])], -1)
    return fnp.stack([even, odd], -1).reshape(*x.shape[:-1], -1)[..., :n]
