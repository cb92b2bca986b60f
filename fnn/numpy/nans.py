"""Reductions that leave NaN out, and NaN replaced by numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fnn import dtypes
from fnn import primitives as P
from fnn.core.trace import aval_of
from fnn.operations import reductions
from fnn.operations.choice import where as choose_where
from fnn.operations.elementwise import BINARY, UNARY, truth
from fnn.operations.operands import array_of, no_out


def known(x: Any) -> Any:
    """Where x is not NaN."""
    return BINARY["equal"](x, x)


def _counted(name: str, x: Any, where: Any) -> Any:
    """Where elements count: those that are not NaN, and where the caller says."""
    return known(x) if where is None else BINARY["bitwise_and"](known(x), truth(array_of(name, where)))


def _total(name: str, reduce: Callable[..., Any], neutral: int) -> Callable[..., Any]:
    def call(
        a: Any,
        axis: Any = None,
        dtype: Any = None,
        out: None = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = None,
    ) -> Any:
        no_out(name, out)
        x = array_of(name, a)
        x = choose_where(known(x), x, neutral) if aval_of(x).is_inexact else x
        return reduce(x, axis, dtype, keepdims=keepdims, initial=initial, where=where)

    return _named(call, name)


def _extreme(name: str, reduce: Callable[..., Any], neutral: float) -> Callable[..., Any]:
    def call(
        a: Any,
        axis: Any = None,
        out: None = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = None,
    ) -> Any:
        no_out(name, out)
        x = array_of(name, a)
        if not aval_of(x).is_inexact:
            return reduce(x, axis, keepdims=keepdims, initial=initial, where=where)
        there = known(x)
        found = reduce(choose_where(there, x, neutral), axis, keepdims=keepdims, initial=initial, where=where)
        if initial is not None:
            return found
        return choose_where(reductions.any(there, axis, keepdims=keepdims), found, np.nan)

    return _named(call, name)


def _position(name: str, find: Callable[..., Any], neutral: float) -> Callable[..., Any]:
    def call(a: Any, axis: int | None = None, out: None = None, keepdims: bool | None = None) -> Any:
        no_out(name, out)
        x = array_of(name, a)
        if not aval_of(x).is_inexact:
            return find(x, axis, keepdims=keepdims)
        there = known(x)
        found = find(choose_where(there, x, neutral), axis, keepdims=keepdims)
        return choose_where(reductions.any(there, axis, keepdims=bool(keepdims)), found, -1)

    return _named(call, name, "; -1 where all are.")


def _named(call: Any, name: str, end: str = ".") -> Callable[..., Any]:
    call.__name__ = call.__qualname__ = name
    call.__module__ = "fnn.numpy"  # where it is found by its name
    call.__doc__ = f"`{name[3:]}` of the elements that are not NaN{end}"
    return call


nansum = _total("nansum", reductions.sum, 0)
nanprod = _total("nanprod", reductions.prod, 1)
nanmax = _extreme("nanmax", reductions.max_of, -np.inf)
nanmin = _extreme("nanmin", reductions.min_of, np.inf)
nanargmax = _position("nanargmax", reductions.argmax, -np.inf)
nanargmin = _position("nanargmin", reductions.argmin, np.inf)


def nanmean(
    a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False, where: Any = None
) -> Any:
    """`mean` of the elements that are not NaN."""
    x = array_of("nanmean", a)
    return reductions.mean(x, axis, dtype, out, keepdims, where=_counted("nanmean", x, where))


def nanvar(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    where: Any = None,
    mean: Any = None,
) -> Any:
    """`var` of the elements that are not NaN; NaN where there are not more than ddof."""
    x = array_of("nanvar", a)
    counted = _counted("nanvar", x, where)
    x = choose_where(known(x), x, 0) if aval_of(x).is_inexact else x
    out_ = reductions.var(x, axis, dtype, out, ddof, keepdims, where=counted, mean=mean)
    enough = BINARY["greater"](reductions.count_nonzero(counted, axis, keepdims=keepdims), ddof)
    return choose_where(enough, out_, np.nan)


def nanstd(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    where: Any = None,
    mean: Any = None,
) -> Any:
    """`std` of the elements that are not NaN."""
    return UNARY["sqrt"](nanvar(a, axis, dtype, out, ddof, keepdims, where, mean))


def nancumsum(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
    """`cumsum` with NaN as 0."""
    x = array_of("nancumsum", a)
    return reductions.cumsum(choose_where(known(x), x, 0) if aval_of(x).is_inexact else x, axis, dtype, out)


def nancumprod(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
    """`cumprod` with NaN as 1."""
    x = array_of("nancumprod", a)
    return reductions.cumprod(choose_where(known(x), x, 1) if aval_of(x).is_inexact else x, axis, dtype, out)


def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """x with NaN and infinities replaced: by 0 and the largest and smallest finite numbers unless told."""
    x = array_of("nan_to_num", x)
    if dtypes.is_complex(aval_of(x).dtype):
        return P.complex(*[nan_to_num(part, copy, nan, posinf, neginf) for part in (P.real(x), P.imag(x))])
    if not aval_of(x).is_float:
        return x
    info = dtypes.finfo(aval_of(x).dtype)
    high = float(info.max) if posinf is None else posinf
    low = float(info.min) if neginf is None else neginf
    x = choose_where(known(x), x, nan)
    return choose_where(UNARY["isposinf"](x), high, choose_where(UNARY["isneginf"](x), low, x))
