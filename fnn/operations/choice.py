"""Choice, limits, rounding and conversion: elementwise functions that take arguments."""

from __future__ import annotations

from typing import Any

from fnn import dtypes
from fnn import primitives as P
from fnn.core.source import describe, here
from fnn.core.trace import aval_of
from fnn.errors import ArgumentError, DtypeError, UnsupportedError
from fnn.operations import operands
from fnn.operations.elementwise import BINARY, UNARY, truth
from fnn.operations.operands import array_of, meet, to_dtype
from fnn.primitives import div, mul, ne, reshape, select
from fnn.primitives import round as round_p
from fnn.primitives.rules import zeros


def where(
    condition: Any, x: Any = None, y: Any = None, /, *, size: int | None = None, fill_value: Any = None
) -> Any:
    """x where the condition holds, y elsewhere; all three broadcast, x and y are promoted.

    With one argument: the indices of true elements, one array per axis. Under jit that needs `size`, the number of them:
    missing ones are `fill_value` (0).

    >>> import fnn.numpy as fnp
    >>> print(fnp.where(fnp.array([True, False]), 1.0, fnp.array([5.0, 6.0])))
    [1. 6.]
    """
    if x is None and y is None:
        from fnn.operations.selection import nonzero

        return nonzero(condition, size=size, fill_value=fill_value)
    if x is None or y is None:
        raise ArgumentError(f"where takes a condition alone, or with both x and y, at {describe(here())}")
    return choose("where", truth(array_of("where", condition)), x, y)


def choose(name: str, predicate: Any, x: Any, y: Any) -> Any:
    """select after broadcasting; predicate is a bool array."""
    x, y = meet(name, x, y, spread=False)
    shapes = [aval_of(a).shape for a in (predicate, x, y)]
    if len({s for s in shapes if s}) > 1:
        shape = operands.broadcast_shapes(name, *shapes)
        predicate, x, y = (operands.to_shape(a, shape) if s else a for a, s in zip((predicate, x, y), shapes))
    return select(predicate, x, y)


def clip(x: Any, /, min: Any = None, max: Any = None, *, a_min: Any = None, a_max: Any = None) -> Any:
    """x, but at least min and at most max; None (the default) leaves a side open. a_min and a_max are NumPy's old names."""
    low = a_min if min is None else min
    high = a_max if max is None else max
    out = array_of("clip", x)
    if low is not None and not (type(low) is int and low < 0 and dtypes.kind(aval_of(out).dtype) == "u"):
        out = BINARY["maximum"](low, out)
    if high is not None:
        out = BINARY["minimum"](high, out)
    if dtypes.is_complex(aval_of(out).dtype):
        raise ArgumentError(
            f"clip: complex numbers have no order, at {describe(here())}; clip x.real and x.imag"
        )
    return out


def round(a: Any, decimals: int = 0, out: None = None) -> Any:
    """`a` rounded to a number of decimals; halves go to even ones. Integers stay what they are unless decimals < 0."""
    operands.no_out("round", out)
    a = array_of("round", a)
    if dtypes.is_complex(aval_of(a).dtype):
        return P.complex(round(P.real(a), decimals), round(P.imag(a), decimals))
    if decimals == 0 or not aval_of(a).is_float:
        if decimals < 0 and not aval_of(a).is_float:
            raise UnsupportedError(
                f"round: decimals={decimals} of integers, at {describe(here())}; convert x to a float"
            )
        return UNARY["rint"](a) if aval_of(a).is_float else a
    factor = 10.0**decimals
    if aval_of(a).dtype.itemsize == 2:  # the factor must not overflow
        return to_dtype(round(P.convert(a, dtype=dtypes.float32), decimals), aval_of(a).dtype)
    return div(round_p(mul(a, factor), method="nearest_even"), factor)


def astype(x: Any, dtype: Any, copy: bool = False, *, device: Any = None) -> Any:
    """x in another dtype, which is honoured as given: 64-bit ones too. Floats to integers drop the fraction."""
    x = array_of("astype", x)
    target = dtypes.canonicalize(float if dtype is None else dtype, explicit=True)
    aval = aval_of(x)
    if dtypes.is_key(aval.dtype) and target == aval.dtype:
        return x
    return x if aval.dtype == target and not aval.weak_type else P.convert(x, dtype=target)


def view(x: Any, dtype: Any = None) -> Any:
    """The bits of x read as another dtype; a change of width changes the last axis, as NumPy's `view`."""
    x = array_of("view", x)
    if dtype is None:
        return x
    target = dtypes.as_dtype(dtype)
    have = aval_of(x)
    if have.dtype == target:
        return x
    if dtypes.is_bool(have.dtype):
        return view(P.convert(x, dtype=dtypes.uint8), target)
    if dtypes.is_bool(target):
        return ne(view(x, dtypes.uint8), 0)
    if dtypes.is_complex(have.dtype) or dtypes.is_complex(target):
        return _view_parts(x, target)
    narrow, wide = have.dtype.itemsize, target.itemsize
    if narrow < wide and have.shape:
        parts = wide // narrow
        if have.shape[-1] % parts:
            raise DtypeError(
                f"view: the last axis of {have} does not hold whole {target}s, at {describe(here())}"
            )
        x = reshape(x, shape=(*have.shape[:-1], have.shape[-1] // parts, parts))
    out = P.bitcast(x, target)
    if narrow > wide and have.shape:
        out = reshape(out, shape=(*have.shape[:-1], have.shape[-1] * (narrow // wide)))
    return out


def real(x: Any, /) -> Any:
    """The real part; real numbers themselves."""
    x = array_of("real", x)
    return P.real(x) if dtypes.is_complex(aval_of(x).dtype) else x


def imag(x: Any, /) -> Any:
    """The imaginary part; zeros for real numbers."""
    x = array_of("imag", x)
    return P.imag(x) if dtypes.is_complex(aval_of(x).dtype) else zeros(aval_of(x).strong())


def conjugate(x: Any, /) -> Any:
    """The complex conjugate; real numbers themselves."""
    x = array_of("conjugate", x)
    return P.conj(x) if dtypes.is_complex(aval_of(x).dtype) else x


def _view_parts(x: Any, target: Any) -> Any:
    """Complex numbers as their two parts along the last axis, or the other way round."""
    have = aval_of(x)
    whole, *_ = have.shape[-1:] or (1,)
    if dtypes.is_complex(have.dtype):
        pairs = [reshape(part, shape=(*have.shape, 1)) for part in (P.real(x), P.imag(x))]
        both = P.concatenate(*pairs, axis=have.ndim)
        return view(reshape(both, shape=(*have.shape[:-1], 2 * whole)), target)
    part = dtypes.real_of(target)
    x = view(x, part)
    if x.shape[-1:] == () or x.shape[-1] % 2:
        raise DtypeError(
            f"view: the last axis of {have} does not hold whole {target}s, at {describe(here())}"
        )
    ends = x.shape[:-1]
    steps = (*[1] * len(ends), 2)
    first = P.slice(x, start=(0,) * x.ndim, limit=(*ends, x.shape[-1] - 1), step=steps)
    second = P.slice(x, start=(*[0] * len(ends), 1), limit=x.shape, step=steps)
    return P.complex(first, second)
