"""Sums, means, extremes and their kin, along axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fnn import dtypes
from fnn import primitives as P
from fnn.core.source import describe, here
from fnn.core.trace import aval_of
from fnn.errors import ArgumentError, ShapeError
from fnn.operations.choice import astype, choose
from fnn.operations.elementwise import BINARY, truth
from fnn.operations.operands import array_of, axes_of, axis_of, no_out, to_dtype
from fnn.operations.shaping import expand_dims, ravel, to
from fnn.primitives import abs as abs_p
from fnn.primitives import div, ne, sqrt, square, sub

HALVES = (dtypes.bfloat16, dtypes.float16)


def reduce_with(primitive: Any, x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    """A reduction, its axes kept with size 1 if asked."""
    out = primitive(x, axes=axes)
    if not keepdims:
        return out
    return to(out, [1 if d in axes else n for d, n in enumerate(aval_of(x).shape)])


def _wide_integers(x: Any) -> Any:
    """Bools and narrow integers as the integers they are summed in: as wide as the default ones."""
    dtype, wide = aval_of(x).dtype, dtypes.default_int()
    kind = dtypes.kind(dtype)
    if kind == "b" or (kind in "iu" and dtypes.bits(dtype) < dtypes.bits(wide)):
        return to_dtype(x, np.dtype(f"u{wide}") if kind == "u" else wide)
    return x


def _strong(name: str, x: Any) -> Any:
    """An operand as an array whose dtype is its own: what is reduced is weak no more."""
    x = array_of(name, x)
    return to_dtype(x, aval_of(x).dtype)


def _with_initial(name: str, combine: str, out: Any, initial: Any) -> Any:
    """A result combined with an initial value, in the result's dtype."""
    if initial is None:
        return out
    return BINARY[combine](out, to_dtype(array_of(name, initial), aval_of(out).dtype))


def _masked(name: str, x: Any, where: Any, neutral: Any) -> Any:
    if where is None:
        return x
    return choose(name, truth(array_of(name, where)), x, to_dtype(array_of(name, neutral), aval_of(x).dtype))


def _count(shape: tuple[int, ...], axes: tuple[int, ...]) -> int:
    return math.prod([shape[d] for d in axes])


# -- sums and products ----------------------------------------------------------------------------------------------


def _total(
    name: str,
    primitive: Any,
    combine: str,
    neutral: int,
    x: Any,
    axis: Any,
    dtype: Any,
    keepdims: bool,
    initial: Any,
    where: Any,
    promote_integers: bool,
) -> Any:
    x = _strong(name, x)
    target = None if dtype is None else dtypes.canonicalize(dtype, explicit=True)
    if target is not None:
        x = astype(x, dtypes.float32 if target in HALVES else target)
    elif promote_integers or dtypes.is_bool(aval_of(x).dtype):
        x = _wide_integers(x)
    if dtypes.is_bool(aval_of(x).dtype):
        primitive = P.reduce_or if combine == "add" else P.reduce_and
    axes = axes_of(name, axis, aval_of(x).ndim)
    out = reduce_with(primitive, _masked(name, x, where, neutral), axes, keepdims)
    return _with_initial(name, combine, out if target is None else _back(out, target), initial)


def sum(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
    promote_integers: bool = True,
) -> Any:
    """The sum along axes; bools and narrow integers are summed in 32 bits, 16-bit floats rounded once at the end.

    axis: a number, a tuple, or None for all. dtype: of the sum. keepdims: keep the axes, with size 1. where: which
    elements count. Raises ArgumentError for an axis that `a` does not have.

    >>> import fnn.numpy as fnp
    >>> print(fnp.sum(fnp.ones((2, 3)), axis=1))
    [3. 3.]
    """
    no_out("sum", out)
    return _total("sum", P.reduce_sum, "add", 0, a, axis, dtype, keepdims, initial, where, promote_integers)


def prod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
    promote_integers: bool = True,
) -> Any:
    """The product along axes; arguments as in `sum`."""
    no_out("prod", out)
    return _total(
        "prod", P.reduce_prod, "multiply", 1, a, axis, dtype, keepdims, initial, where, promote_integers
    )


def _inexact(x: Any, dtype: Any) -> tuple[Any, np.dtype]:
    """(x in the dtype to compute in, the dtype of the result): 16-bit floats are computed in 32 bits."""
    have = aval_of(x).dtype
    target = dtypes.to_inexact(have) if dtype is None else dtypes.canonicalize(dtype, explicit=True)
    wide = dtypes.float32 if target in HALVES else dtypes.to_inexact(target)
    return (x if have == wide else to_dtype(x, wide)), target


def _back(x: Any, dtype: np.dtype) -> Any:
    return x if aval_of(x).dtype == dtype else to_dtype(x, dtype)


def _number(x: Any, where: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    """How many elements count: a Python float, or an array of x's dtype where `where` says."""
    if where is None:
        return float(_count(aval_of(x).shape, axes))
    from fnn.operations.shaping import broadcast_to

    mask = broadcast_to(truth(array_of("where", where)), aval_of(x).shape)
    return reduce_with(P.reduce_sum, to_dtype(mask, aval_of(x).dtype), axes, keepdims)


def mean(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    *,
    where: Any = None,
) -> Any:
    """The arithmetic mean along axes; arguments as in `sum`. Integers give floats; the mean of nothing is NaN."""
    no_out("mean", out)
    a, target = _inexact(_strong("mean", a), dtype)
    axes = axes_of("mean", axis, aval_of(a).ndim)
    total = reduce_with(P.reduce_sum, _masked("mean", a, where, 0), axes, keepdims)
    return _back(div(total, _number(a, where, axes, keepdims)), target)


mean_of = mean


def var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Any = None,
    correction: float | None = None,
) -> Any:
    """The variance along axes: the mean square distance from the mean, divided by count - ddof; real for complex `a`.

    mean: the mean with its axes kept, where it is known."""
    no_out("var", out)
    a, target = _inexact(_strong("var", a), dtype)
    axes = axes_of("var", axis, aval_of(a).ndim)
    centre = mean_of(a, axes, keepdims=True, where=where) if mean is None else array_of("var", mean)
    spread = square(abs_p(BINARY["subtract"](a, centre)))
    target = dtypes.real_of(dtypes.to_inexact(target))
    total = reduce_with(P.reduce_sum, _masked("var", spread, where, 0), axes, keepdims)
    less = ddof if correction is None else correction
    count = _number(spread, where, axes, keepdims)
    if isinstance(count, float):  # with count <= ddof the variance is undefined
        count = count - less if count > less else math.nan
    else:
        count = choose("var", BINARY["greater"](count, less), BINARY["subtract"](count, less), math.nan)
    return _back(BINARY["divide"](total, count), target)


def std(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Any = None,
    correction: float | None = None,
) -> Any:
    """The standard deviation along axes: the square root of `var`."""
    return sqrt(var(a, axis, dtype, out, ddof, keepdims, where=where, mean=mean, correction=correction))


# -- extremes and logic ---------------------------------------------------------------------------------------------


def _extreme_of_complex(primitive: Any, sign: int, x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    """The extreme real part and, of those that have it, the extreme imaginary one; NaN if there is any."""
    re, im = P.real(x), P.imag(x)
    first = reduce_with(primitive, re, axes, True)
    rivals = choose("max", BINARY["equal"](re, first), im, -sign * math.inf)
    bad = reduce_with(P.reduce_or, ne(x, x), axes, keepdims)
    out = P.complex(
        first if keepdims else reduce_with(primitive, first, axes, False),
        reduce_with(primitive, rivals, axes, keepdims),
    )
    return choose("max", bad, complex(math.nan, math.nan), out)


def _extreme(name: str, primitive: Any, on_bools: Any, combine: str, sign: int) -> Callable[..., Any]:
    def call(
        a: Any,
        axis: Any = None,
        out: None = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = None,
    ) -> Any:
        no_out(name, out)
        a = _strong(name, a)
        axes = axes_of(name, axis, aval_of(a).ndim)
        if where is not None:
            if initial is None:
                raise ArgumentError(
                    f"{name}: where= needs initial=, what the {name} of nothing is, at {describe(here())}"
                )
            a = _masked(name, a, where, initial)
        if initial is None and not _count(aval_of(a).shape, axes):
            raise ShapeError(
                f"{name}: {aval_of(a)} has no elements along the axes {axes}, so there is no {name}imum, at "
                f"{describe(here())}; give initial="
            )
        if dtypes.is_complex(aval_of(a).dtype):
            out = _extreme_of_complex(primitive, sign, a, axes, keepdims)
        else:
            reduce = on_bools if dtypes.is_bool(aval_of(a).dtype) else primitive
            out = reduce_with(reduce, a, axes, keepdims)
        return _with_initial(name, combine, out, initial)

    call.__name__ = call.__qualname__ = name
    call.__module__ = "fnn.numpy"  # where it is found by its name
    call.__doc__ = (
        f"The {'largest' if sign > 0 else 'smallest'} element along axes; NaN wins. initial: {name} of nothing. "
        "Elements that tie share the derivative."
    )
    return call


max_of = _extreme("max", P.reduce_max, P.reduce_or, "maximum", 1)
min_of = _extreme("min", P.reduce_min, P.reduce_and, "minimum", -1)


def all(a: Any, axis: Any = None, out: None = None, keepdims: bool = False, *, where: Any = None) -> Any:
    """Whether every element along axes holds (is not 0)."""
    no_out("all", out)
    a = truth(array_of("all", a))
    return reduce_with(
        P.reduce_and, _masked("all", a, where, True), axes_of("all", axis, aval_of(a).ndim), keepdims
    )


def any(a: Any, axis: Any = None, out: None = None, keepdims: bool = False, *, where: Any = None) -> Any:
    """Whether some element along axes holds (is not 0)."""
    no_out("any", out)
    a = truth(array_of("any", a))
    return reduce_with(
        P.reduce_or, _masked("any", a, where, False), axes_of("any", axis, aval_of(a).ndim), keepdims
    )


def ptp(a: Any, axis: Any = None, out: None = None, keepdims: bool = False) -> Any:
    """The largest element minus the smallest, along axes."""
    no_out("ptp", out)
    return sub(max_of(a, axis, keepdims=keepdims), min_of(a, axis, keepdims=keepdims))


def count_nonzero(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """How many elements along axes are not 0."""
    return sum(truth(array_of("count_nonzero", a)), axis, keepdims=keepdims)


# -- positions ------------------------------------------------------------------------------------------------------


def _position(name: str, find: Any, extreme: Callable[..., Any], text: str) -> Callable[..., Any]:
    def call(a: Any, axis: int | None = None, out: None = None, keepdims: bool | None = None) -> Any:
        no_out(name, out)
        a = array_of(name, a)
        rank = aval_of(a).ndim
        if dtypes.is_complex(aval_of(a).dtype):
            best = extreme(a, axis, keepdims=True)
            a = BINARY["bitwise_or"](BINARY["equal"](a, best), ne(a, a))
            primitive = P.argmax
        else:
            primitive = find
        if axis is None:
            found = primitive(ravel(a), axis=0, dtype=dtypes.default_int())
            return to(found, (1,) * rank) if keepdims else found
        place = axis_of(name, axis, rank)
        found = primitive(a, axis=place, dtype=dtypes.default_int())
        return expand_dims(found, place) if keepdims else found

    call.__name__ = call.__qualname__ = name
    call.__module__ = "fnn.numpy"  # where it is found by its name
    call.__doc__ = text
    return call


argmax = _position(
    "argmax",
    P.argmax,
    max_of,
    "The index of the largest element along an axis (of the flattened array for None): the first of several.",
)
argmin = _position(
    "argmin",
    P.argmin,
    min_of,
    "The index of the smallest element along an axis (of the flattened array for None): the first of several.",
)

# -- running --------------------------------------------------------------------------------------------------------


def _running(name: str, primitive: Any, text: str) -> Callable[..., Any]:
    def call(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
        no_out(name, out)
        a = _strong(name, a)
        target = None if dtype is None else dtypes.canonicalize(dtype, explicit=True)
        if target is not None:
            a = astype(a, target)
        if dtypes.is_bool(aval_of(a).dtype):
            a = to_dtype(a, dtypes.default_int())
        if axis is None:
            a, axis = ravel(a), 0
        out = primitive(a, axis=axis_of(name, axis, aval_of(a).ndim), reverse=False)
        return out if target is None else astype(out, target)

    call.__name__ = call.__qualname__ = name
    call.__module__ = "fnn.numpy"  # where it is found by its name
    call.__doc__ = text
    return call


cumsum = _running(
    "cumsum", P.cumsum, "Sums of the first elements along an axis (of the flattened array for None)."
)
cumprod = _running(
    "cumprod", P.cumprod, "Products of the first elements along an axis (of the flattened array for None)."
)


def _cumulative(name: str, running: Callable[..., Any], neutral: int, text: str) -> Callable[..., Any]:
    def call(x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Any:
        x = array_of(name, x)
        if axis is None:
            if aval_of(x).ndim != 1:
                raise ArgumentError(
                    f"{name}: {aval_of(x)} has not one axis, so it needs axis=, at {describe(here())}"
                )
            axis = 0
        place = axis_of(name, axis, aval_of(x).ndim)
        out = running(x if dtype is not None else _wide_integers(x), place, dtype)
        if not include_initial:
            return out
        from fnn.operations.shaping import concatenate

        shape = tuple([1 if d == place else n for d, n in enumerate(aval_of(out).shape)])
        first = P.broadcast(P.convert(neutral, dtype=aval_of(out).dtype), shape=shape, axes=())
        return concatenate([first, out], place)

    call.__name__ = call.__qualname__ = name
    call.__module__ = "fnn.numpy"  # where it is found by its name
    call.__doc__ = text
    return call


cumulative_sum = _cumulative(
    "cumulative_sum",
    cumsum,
    0,
    "`cumsum` by the array API's name, in integers as wide as the default ones; include_initial puts a 0 in front.",
)
cumulative_prod = _cumulative(
    "cumulative_prod",
    cumprod,
    1,
    "`cumprod` by the array API's name, in integers as wide as the default ones; include_initial puts a 1 in front.",
)
