"""fnn.image: images in another size, by interpolation.

>>> import fnn.numpy as fnp
>>> print(resize(fnp.array([0.0, 2.0]), (4,), "linear"))
[0.  0.5 1.5 2. ]
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fnn import dtypes
from fnn.core.source import describe, here
from fnn.core.trace import aval_of
from fnn.errors import ArgumentError, ShapeError
from fnn.indexing import IndexUpdateHelper
from fnn.lax.structure import Precision
from fnn.operations.choice import where
from fnn.operations.creation import arange, asarray, zeros
from fnn.operations.elementwise import BINARY, UNARY
from fnn.operations.operands import array_of, axis_of, meet, to_dtype
from fnn.operations.products import tensordot
from fnn.operations.reductions import sum as sum_of
from fnn.operations.selection import take
from fnn.operations.shaping import moveaxis


class ResizeMethod(enum.Enum):
    """How `resize` finds the values between pixels.

    LINEAR: a triangle of neighbours. CUBIC: Keys' kernel (1981) with A = -0.5. CUBIC_PYTORCH: the same where antialiased,
    else A = -0.75 with repeated edges. LANCZOS3, LANCZOS5: windowed sinc. AREA: the mean over what a pixel covers."""

    NEAREST = 0
    LINEAR = 1
    LANCZOS3 = 2
    LANCZOS5 = 3
    CUBIC = 4
    CUBIC_PYTORCH = 5
    AREA = 6

    @staticmethod
    def from_string(s: str) -> ResizeMethod:
        """The method of a name: "nearest", "linear" (or "bilinear", ...), "cubic", "lanczos3", "lanczos5", "area"."""
        if s not in _NAMES:
            raise ArgumentError(
                f"resize: the method {s!r} is not one of {', '.join(_NAMES)}, at {describe(here())}"
            )
        return _NAMES[s]


_NAMES = {
    "nearest": ResizeMethod.NEAREST,
    **dict.fromkeys(("linear", "bilinear", "trilinear", "triangle"), ResizeMethod.LINEAR),
    "lanczos3": ResizeMethod.LANCZOS3,
    "lanczos5": ResizeMethod.LANCZOS5,
    **dict.fromkeys(("cubic", "bicubic", "tricubic"), ResizeMethod.CUBIC),
    **dict.fromkeys(("cubic-pytorch", "bicubic-pytorch"), ResizeMethod.CUBIC_PYTORCH),
    "area": ResizeMethod.AREA,
}

# -- kernels: the weight of a pixel at a distance >= 0 ----------------------------------------------------------------


def _triangle(x: Any) -> Any:
    return BINARY["maximum"](1.0 - x, 0.0)


def _cubic(a: float) -> Callable[[Any], Any]:
    def weight(x: Any) -> Any:
        near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
        far = ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
        return where(x >= 2.0, 0.0, where(x >= 1.0, far, near))

    return weight


def _lanczos(radius: float) -> Callable[[Any], Any]:
    def weight(x: Any) -> Any:
        far = x > 1e-3  # nearer than that the weight is 1 to rounding
        safe = where(far, x, 1.0)
        wave = radius * UNARY["sin"](math.pi * safe) * UNARY["sin"](math.pi / radius * safe)
        return where(x > radius, 0.0, where(far, wave / (math.pi**2 * safe * safe), 1.0))

    return weight


_KERNELS: dict[ResizeMethod, tuple[int, Callable[[Any], Any]]] = {
    ResizeMethod.LINEAR: (1, _triangle),
    ResizeMethod.LANCZOS3: (3, _lanczos(3.0)),
    ResizeMethod.LANCZOS5: (5, _lanczos(5.0)),
    ResizeMethod.CUBIC: (2, _cubic(-0.5)),
    ResizeMethod.CUBIC_PYTORCH: (2, _cubic(-0.75)),
}


def _weights(method: ResizeMethod, size: int, new: int, scale: Any, shift: Any, antialias: bool) -> Any:
    """The matrix (size, new) whose columns say what each new pixel is a mean of."""
    dtype = aval_of(scale).dtype
    inverse = 1.0 / scale
    places = arange(new, dtype=dtype)
    centre = (places + 0.5) * inverse - shift * inverse - 0.5  # of the new pixels, among the old ones
    if method is ResizeMethod.AREA:
        left = places * inverse - shift * inverse
        old = arange(size, dtype=dtype)[:, None]
        overlap = BINARY["minimum"](left + inverse, old + 1.0) - BINARY["maximum"](left, old)
        weights = BINARY["maximum"](overlap, 0.0)
    else:
        radius, kernel = _KERNELS[method]
        beyond = radius if method is ResizeMethod.CUBIC_PYTORCH else 0  # edges are repeated so often
        width = BINARY["maximum"](inverse, 1.0) if antialias else 1.0  # shrinking takes the mean of more
        old = arange(-beyond, size + beyond, dtype=dtype)
        weights = kernel(UNARY["absolute"](centre - old[:, None]) / width)
        if beyond:
            rows = np.clip(np.arange(-beyond, size + beyond), 0, size - 1).astype(np.int32)
            weights = IndexUpdateHelper(zeros((size, new), aval_of(weights).dtype))[rows].add(weights)
    total = sum_of(weights, 0, keepdims=True)
    some = UNARY["absolute"](total) > 1000 * float(np.finfo(np.float32).eps)
    weights = where(some, weights / where(some, total, 1.0), 0.0)
    if method is ResizeMethod.CUBIC_PYTORCH:
        return weights
    return where(BINARY["bitwise_and"](centre >= -0.5, centre <= size - 0.5), weights, 0.0)


def _method(method: Any, antialias: bool) -> ResizeMethod:
    chosen = ResizeMethod.from_string(method) if isinstance(method, str) else ResizeMethod(method)
    return ResizeMethod.CUBIC if chosen is ResizeMethod.CUBIC_PYTORCH and antialias else chosen


def _floats(name: str, image: Any) -> Any:
    x = array_of(name, image)
    return to_dtype(x, dtypes.to_inexact(aval_of(x).dtype))


def _shape(name: str, x: Any, shape: Sequence[int]) -> tuple[int, ...]:
    sizes = tuple([int(n) for n in shape])
    if len(sizes) != aval_of(x).ndim:
        raise ShapeError(
            f"{name}: the shape {sizes} for {aval_of(x)}, at {describe(here())}; one size per axis"
        )
    return sizes


def scale_and_translate(
    image: Any,
    shape: Sequence[int],
    spatial_dims: Sequence[int],
    scale: Any,
    translation: Any,
    method: str | ResizeMethod,
    antialias: bool = True,
    precision: Any = Precision.HIGHEST,
) -> Any:
    """An image scaled and moved: what was at x is at x * scale + translation, along each of the axes spatial_dims.

    shape: of the result, a size per axis; places that come from outside of the image are 0. A pixel's centre lies at its
    index + 0.5. scale, translation: a number per axis of spatial_dims; they have derivatives. method: as in `resize`, but
    nearest. antialias: shrinking takes the mean of what a pixel covers.

    Raises ShapeError for a shape of another rank, ArgumentError for other methods."""
    chosen = _method(method, antialias)
    if chosen is ResizeMethod.NEAREST:
        raise ArgumentError(
            f"scale_and_translate has no nearest neighbours, at {describe(here())}; resize has"
        )
    x = _floats("scale_and_translate", image)
    sizes = _shape("scale_and_translate", x, shape)
    scales, shifts = meet(
        "scale_and_translate", asarray(scale), asarray(translation), mode="inexact", spread=False
    )
    if not (aval_of(scales).shape == aval_of(shifts).shape == (len(spatial_dims),)):
        raise ShapeError(
            f"scale_and_translate: {aval_of(scales)} and {aval_of(shifts)} for {len(spatial_dims)} axes, at "
            f"{describe(here())}; a number for each"
        )
    for k, axis in enumerate(spatial_dims):
        d = axis_of("scale_and_translate", axis, aval_of(x).ndim)
        weights = _weights(chosen, aval_of(x).shape[d], sizes[d], scales[k], shifts[k], antialias)
        x = moveaxis(tensordot(x, to_dtype(weights, aval_of(x).dtype), ((d,), (0,))), -1, d)
    return x


def resize(
    image: Any,
    shape: Sequence[int],
    method: str | ResizeMethod,
    antialias: bool = True,
    precision: Any = Precision.HIGHEST,
) -> Any:
    """An image (any number of axes) in another shape.

    method: "nearest", "linear", "cubic", "lanczos3", "lanczos5", "area", ... or a ResizeMethod. antialias: shrinking takes
    the mean of what a pixel covers. Integers give floats, but for "nearest". Raises ShapeError for a shape of another rank,
    ArgumentError for a method that is none."""
    chosen = _method(method, antialias)
    x = array_of("resize", image)
    sizes = _shape("resize", x, shape)
    if chosen is ResizeMethod.NEAREST:
        for d, (m, n) in enumerate(zip(aval_of(x).shape, sizes, strict=True)):
            if m != n:
                picks = np.floor((np.arange(n, dtype=np.float32) + 0.5) * m / n).astype(np.int32)
                x = take(x, picks, d, mode="clip")
        return x
    x = _floats("resize", x)
    changed = [d for d, (m, n) in enumerate(zip(aval_of(x).shape, sizes, strict=True)) if m != n]
    wide = dtypes.float64 if aval_of(x).dtype == dtypes.float64 else dtypes.float32
    scale = asarray(
        [1.0 if not aval_of(x).shape[d] else sizes[d] / aval_of(x).shape[d] for d in changed], wide
    )
    if not changed:
        return x
    return scale_and_translate(
        x, sizes, changed, scale, zeros((len(changed),), wide), chosen, antialias, precision
    )


__all__ = ["ResizeMethod", "resize", "scale_and_translate"]
