"""Division with a remainder, and the signs that go with it."""

from __future__ import annotations

from typing import Any

import numpy as np

from fnn import dtypes
from fnn import primitives as P
from fnn.core.array import Array
from fnn.core.aval import Aval
from fnn.core.trace import aval_of
from fnn.primitives import abs as abs_p
from fnn.primitives import add as add_p
from fnn.primitives import and_, div, eq, lt, ne, neg, rem, select, sub
from fnn.primitives import round as round_p
from fnn.primitives.rules import zeros


def is_float(x: Any) -> bool:
    """Whether an operand holds real floating-point numbers."""
    return aval_of(x).is_float


def _differ_in_sign(x: Any, y: Any) -> Any:
    return ne(lt(x, zero(x)), lt(y, zero(y)))


def zero(x: Any) -> Any:
    """The 0 of an operand's dtype."""
    return zeros(Aval((), aval_of(x).dtype))


def mod(x: Any, y: Any) -> Any:
    """The remainder with the sign of y."""
    r = rem_of(x, y)
    if dtypes.kind(aval_of(r).dtype) == "u":
        return r
    result = select(and_(ne(r, zero(r)), _differ_in_sign(r, y)), add_p(r, y), r)
    return _zero_signed_as(result, y) if is_float(result) else result


def rem_of(x: Any, y: Any) -> Any:
    """The remainder with the sign of x; 0 for integers divided by 0, as in NumPy."""
    r = rem(x, y)
    if aval_of(r).is_inexact or (type(y) is int and y):
        return r
    return select(eq(like(y, r), zero(r)), zero(r), r)


def _zero_signed_as(r: Any, y: Any) -> Any:
    """A remainder, whose 0 gets the sign of the divisor; the derivative is 1 there too."""
    none = zero(r)
    return select(lt(y, zero(y) if isinstance(y, Array) else 0), neg(sub(none, r)), add_p(r, none))


def floor_divide(x: Any, y: Any) -> Any:
    """x / y, rounded down."""
    if is_float(x) or is_float(y):
        return floor_divmod(x, y)[0]
    q = div(x, y)
    if dtypes.kind(aval_of(q).dtype) == "u":
        return q
    inexact = and_(ne(rem(x, y), zero(q)), _differ_in_sign(x, y))
    return sub(q, P.convert(inexact, dtype=aval_of(q).dtype))


def floor_divmod(x: Any, y: Any) -> tuple[Any, Any]:
    """(quotient, remainder) of floats: the quotient is rounded to the whole number that the exact one is."""
    r = rem(x, y)
    q = div(sub(x, r), y)
    low = and_(ne(r, zero(r)), _differ_in_sign(r, y))
    q = select(low, sub(q, 1.0), q)
    q = select(P.is_finite(q), round_p(q, method="nearest_even"), q)
    q = select(eq(q, zero(q)), copysign(zero(q), div(x, y)), q)
    if isinstance(y, Array) or y == 0:
        q = select(eq(y, zero(y)), div(x, y), q)  # an infinity, or NaN
    return q, _zero_signed_as(select(low, add_p(r, y), r), y)


def copysign(x: Any, y: Any) -> Any:
    """The magnitude of x with the sign of y."""
    x = like(x, y)
    dtype = aval_of(x).dtype
    word = np.dtype(f"u{dtype.itemsize}")
    negative = ne(P.shift_right_logical(P.bitcast(like(y, x), word), dtype.itemsize * 8 - 1), 0)
    size = abs_p(x)
    return select(negative, neg(size), size)


def like(x: Any, other: Any) -> Any:
    """A number as an array of the other operand's dtype; arrays as they are."""
    return x if isinstance(x, Array) else P.convert(x, dtype=aval_of(other).dtype)
