"""Functions of functions, convolutions and integrals."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fnn import dtypes
from fnn.core.source import describe, here
from fnn.core.trace import aval_of
from fnn.errors import ArgumentError, ShapeError
from fnn.numpy.statistics import diff
from fnn.operations.choice import conjugate, where
from fnn.operations.creation import asarray
from fnn.operations.elementwise import BINARY
from fnn.operations.operands import array_of, axis_of, broadcast_shapes, meet, no_out, to_dtype, to_shape
from fnn.operations.products import dot
from fnn.operations.reductions import sum
from fnn.operations.shaping import concatenate, cut, expand_dims, flip, moveaxis, to
from fnn.transforms.batching import vmap

TAPS = 64  # elements of a vector that is convolved tap by tap, without a matrix of windows

# -- functions ------------------------------------------------------------------------------------------------------


def apply_along_axis(func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **kwargs: Any) -> Any:
    """func1d of every line of an array along an axis; what it returns takes that axis's place."""
    x = array_of("apply_along_axis", arr)
    place = axis_of("apply_along_axis", axis, aval_of(x).ndim)
    x = moveaxis(x, place, -1)
    f = lambda line: func1d(line, *args, **kwargs)
    others = aval_of(x).ndim - 1
    for _ in range(others):
        f = vmap(f)
    out = f(x)
    new = aval_of(out).ndim - others  # the axes of one result
    return moveaxis(out, tuple(range(others, others + new)), tuple(range(place, place + new)))


def apply_over_axes(func: Callable[..., Any], a: Any, axes: Any) -> Any:
    """func(`a`, axis) for one axis after the other, axes that vanish being kept with size 1."""
    a = array_of("apply_over_axes", a)
    for axis in axes if isinstance(axes, (tuple, list)) else (axes,):
        place = axis_of("apply_over_axes", axis, aval_of(a).ndim)
        out = func(a, place)
        a = out if aval_of(out).ndim == aval_of(a).ndim else expand_dims(out, place)
    return a


def vectorize(
    pyfunc: Callable[..., Any], *, excluded: Any = (), signature: str | None = None
) -> Callable[..., Any]:
    """pyfunc over the broadcast leading axes of its arguments, by vmap.

    signature: which axes belong to one call, e.g. "(n),(n)->()"; without one all arguments of a call are scalars.
    excluded: positions and names of arguments that are passed as they are."""
    core_in = None if signature is None else _signature(signature)

    @functools.wraps(pyfunc)
    def call(*args: Any, **kwargs: Any) -> Any:
        fixed = {k: v for k, v in kwargs.items() if k in excluded}
        names = [k for k in kwargs if k not in excluded]
        mapped = [i for i in range(len(args)) if i not in excluded]
        xs = [array_of("vectorize", args[i]) for i in mapped] + [
            array_of("vectorize", kwargs[k]) for k in names
        ]
        if core_in is not None and len(core_in) != len(xs):
            raise ArgumentError(
                f"vectorize: the signature {signature!r} is for {len(core_in)} arguments, {len(xs)} are given, at "
                f"{describe(here())}"
            )
        ranks = [0 if core_in is None else len(core_in[k]) for k in range(len(xs))]
        if any(aval_of(x).ndim < r for x, r in zip(xs, ranks)):
            raise ShapeError(
                f"vectorize: an argument has fewer axes than the signature {signature!r} says, at {describe(here())}"
            )
        lead = broadcast_shapes(
            "vectorize", *[aval_of(x).shape[: aval_of(x).ndim - r] for x, r in zip(xs, ranks)]
        )
        inner = [aval_of(x).shape[aval_of(x).ndim - r :] for x, r in zip(xs, ranks)]
        xs = [to(x, ((1,) * (len(lead) + r - aval_of(x).ndim)) + aval_of(x).shape) for x, r in zip(xs, ranks)]

        def one(*values: Any) -> Any:
            full = list(args)
            for i, v in zip(mapped, values):
                full[i] = v
            return pyfunc(*full, **fixed, **dict(zip(names, values[len(mapped) :])))

        f = one
        sizes = [aval_of(x).shape[: len(lead)] for x in xs]
        for d in reversed(range(len(lead))):  # arguments without this axis are not mapped over it
            f = vmap(f, tuple(0 if s[d] == lead[d] else None for s in sizes), axis_size=lead[d])
        squeezed = [
            to(x, (*[n for n, m in zip(s, lead) if n == m], *core)) for x, s, core in zip(xs, sizes, inner)
        ]
        return f(*squeezed)

    return call


def _signature(text: str) -> list[tuple[str, ...]]:
    """The axes of each argument."""
    if not re.fullmatch(r"\(.*\)->\(.*\)", text.replace(" ", "")):
        raise ArgumentError(
            f'vectorize: {text!r} is no signature, at {describe(here())}; write it like "(n),(n)->()"'
        )
    inputs = text.replace(" ", "").split("->")[0]
    return [tuple(filter(None, group.split(","))) for group in re.findall(r"\(([^)]*)\)", inputs)]


def piecewise(x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
    """For each element the function (or number) of the condition that holds; one more is for where none does, else 0."""
    x = array_of("piecewise", x)
    conditions = list(condlist) if isinstance(condlist, (list, tuple)) else [condlist]
    functions = list(funclist)
    if len(functions) == len(conditions) + 1:
        otherwise, functions = functions[-1], functions[:-1]
    elif len(functions) == len(conditions):
        otherwise = 0
    else:
        raise ArgumentError(
            f"piecewise: {len(conditions)} conditions and {len(functions)} functions, at {describe(here())}"
        )
    value = lambda f: f(x, *args, **kwargs) if callable(f) else f
    out = to_dtype(to_shape(array_of("piecewise", value(otherwise)), aval_of(x).shape), aval_of(x).dtype)
    for condition, f in zip(conditions, functions):
        out = where(condition, to_dtype(array_of("piecewise", value(f)), aval_of(x).dtype), out)
    return out


# -- convolutions, integrals -----------------------------------------------------------------------------


def convolve(
    a: Any, v: Any, mode: str = "full", *, precision: Any = None, preferred_element_type: Any = None
) -> Any:
    """The convolution of two vectors, in floats. mode: all overlaps ("full"), as many as the longer has ("same"),
    complete ones ("valid")."""
    return _convolved("convolve", a, v, mode, True, preferred_element_type)


def correlate(
    a: Any, v: Any, mode: str = "valid", *, precision: Any = None, preferred_element_type: Any = None
) -> Any:
    """The correlation of two vectors: a convolution with the second one backwards and conjugated."""
    return _convolved("correlate", a, conjugate(asarray(v)), mode, False, preferred_element_type)


def _convolved(name: str, x: Any, y: Any, mode: str, reverse: bool, dtype: Any) -> Any:
    x, y = meet(name, asarray(x), asarray(y), mode="inexact", spread=False)
    n, m = aval_of(x).size, aval_of(y).size
    if aval_of(x).ndim != 1 or aval_of(y).ndim != 1 or not n or not m:
        raise ShapeError(
            f"{name}: {aval_of(x)} and {aval_of(y)} are not two vectors with elements, at {describe(here())}; "
            "fnn.lax.conv_general_dilated convolves more axes"
        )
    if mode not in ("full", "same", "valid"):
        raise ArgumentError(f'{name}: mode is "full", "same" or "valid", not {mode!r}, at {describe(here())}')
    kernel = y if reverse else flip(y, 0)
    longer, shorter = (x, kernel) if n >= m else (kernel, x)
    size, width = max(n, m), min(n, m)
    from fnn.numpy.padding import pad

    padded = pad(longer, width - 1)
    weights, count = flip(shorter, 0), size + width - 1
    if (
        dtype is None and width <= TAPS and aval_of(x).dtype.itemsize > 2
    ):  # sums of half precision want a product's float32
        full = cut(padded, 0, 0, count) * weights[0]
        for k in range(1, width):
            full = full + cut(padded, 0, k, k + count) * weights[k]
    else:
        # the windows of the longer one, as a matrix of index arrays
        places = np.arange(count)[:, None] + np.arange(width)
        full = dot(padded[places.astype(np.int32)], weights, preferred_element_type=dtype)
    if mode == "full":
        return full
    low = (width - 1) // 2 if mode == "same" else width - 1
    if mode == "same" and not reverse and n < m and width % 2 == 0:
        low = width // 2
    count = size if mode == "same" else size - width + 1
    return cut(full, 0, low, low + count)


def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """The integral of samples along an axis by the trapezoidal rule; x: where they are, or dx: their distance."""
    if x is None:
        (y,) = meet("trapezoid", asarray(y), mode="inexact")
    else:
        y, x = meet("trapezoid", asarray(y), asarray(x), mode="inexact", spread=False)
    y = moveaxis(y, axis, -1)
    n = aval_of(y).shape[-1]
    if x is not None:
        dx = diff(x) if aval_of(x).ndim == 1 else diff(moveaxis(x, axis, -1))
    last = aval_of(y).ndim - 1
    pairs = BINARY["add"](cut(y, last, 1, n), cut(y, last, 0, n - 1))
    return BINARY["multiply"](sum(BINARY["multiply"](pairs, dx), -1), 0.5)


def unwrap(p: Any, discont: Any = None, axis: int = -1, period: Any = 6.283185307179586) -> Any:
    """Phases without the jumps of a period between neighbours."""
    from fnn.operations.reductions import cumsum

    p, _ = meet("unwrap", p, period, spread=False)
    if dtypes.is_complex(aval_of(p).dtype):
        raise ArgumentError(
            f"unwrap: {aval_of(p)} are no angles, at {describe(here())}; take fnn.numpy.angle of them"
        )
    place = axis_of("unwrap", axis, aval_of(p).ndim)
    d = diff(p, axis=place)
    half = period / 2 if aval_of(p).is_float else period // 2
    turned = BINARY["subtract"](BINARY["remainder"](BINARY["add"](d, half), period), half)
    bounded = aval_of(p).is_float or period % 2 == 0  # half a period may be turned either way
    turned = where((turned == -half) & (d > 0), half, turned) if bounded else turned
    jump = BINARY["subtract"](turned, d)
    jump = where(abs(d) < (half if discont is None else discont), 0, jump)
    n = aval_of(p).shape[place]
    return concatenate([cut(p, place, 0, 1), BINARY["add"](cut(p, place, 1, n), cumsum(jump, place))], place)


def modf(x: Any, /, out: None = None) -> tuple[Any, Any]:
    """(fraction, whole part), both with the sign of x."""
    from fnn.operations.elementwise import UNARY

    no_out("modf", out)
    (x,) = meet("modf", x, mode="inexact")
    whole = UNARY["trunc"](x)
    return BINARY["subtract"](x, whole), whole
