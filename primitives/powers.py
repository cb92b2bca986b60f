"""Powers: to a known integer by repeated products, and to any exponent."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from fnn import primitives as P
from fnn.core.aval import Aval
from fnn.core.primitive import Sample
from fnn.core.source import describe, here
from fnn.core.trace import aval_of
from fnn.errors import ArgumentError, DtypeError
from fnn.primitives.arithmetic import FIELD, add, is_floating, mul, one_integer_dtype, sub
from fnn.primitives.comparison import eq, select
from fnn.primitives.pairs import of_pairs, power
from fnn.primitives.rules import check_kinds, elementwise, of_dtype, zeros
from fnn.primitives.sampling import binary


def repeated(x: Any, n: int, multiply: Callable[[Any, Any], Any]) -> Any:
    """x to the power n >= 1 by squaring: the same products in the same order wherever it runs."""
    result = None
    while True:
        if n & 1:
            result = x if result is None else multiply(result, x)
        n >>= 1
        if not n:
            return result
        x = multiply(x, x)


def _integer_pow(x: Any, n: int) -> Any:
    x = np.asarray(x)
    if n == 0:
        return np.ones_like(x)
    power = repeated(x, operator.abs(n), np.multiply)
    return np.divide(np.ones_like(power), power) if n < 0 else power


def _integer_pow_loop(b: Any, x: Any, n: int) -> Any:
    if n == 0:
        return b.const(1.0 if x.dtype[0] == "f" else 1, x.dtype)
    power = repeated(x, operator.abs(n), operator.mul)
    return 1.0 / power if n < 0 else power


def _integer_pow_partial(t: Any, _out: Any, x: Any, n: int) -> Any:
    if n == 0:
        return zeros(aval_of(t))
    if n == 1:
        return t
    return mul(t, mul(integer_pow(x, n=n - 1), float(n)))


def _integer_pow_shape(x: Aval, n: int) -> Aval:
    check_kinds("integer_pow", (x,), FIELD)
    if not isinstance(n, int) or isinstance(n, bool):
        raise ArgumentError(
            f"integer_pow: the exponent {n!r} is not a Python int, at {describe(here())}; use pow"
        )
    if n < 0 and not x.is_inexact:
        raise DtypeError(
            f"integer_pow: integers {x} have no power {n}, at {describe(here())}; convert them to floats"
        )
    return x


integer_pow = elementwise(
    "integer_pow",
    _integer_pow,
    _integer_pow_loop,
    _integer_pow_partial,
    shape=_integer_pow_shape,
    pairs=power,
    samples=lambda: [
        *[Sample(("f4[2,3]",), {"n": n}) for n in (0, 1, 2, 3, 7, 8)],
        *[Sample(("f4[4]",), {"n": n}, low=0.5) for n in (-1, -2, -3)],
        Sample(("i4[4]",), {"n": 3}),
        Sample(("u1[4]",), {"n": 0}),
        Sample(("f4[0]",), {"n": 2}),
        Sample((1.5,), {"n": 2}),
        *[Sample(("c8[3]",), {"n": n}) for n in (0, 1, 2, 5)],
        *[Sample(("c8[3]",), {"n": n}, low=0.5) for n in (-1, -2)],
        Sample(("c16[3]",), {"n": 3}),
    ],
)


def _integer_powers(x: Any, y: Any, width: int, signed: bool, select: Any, differs: Any) -> Any:
    """Integers to integer powers by squaring over all bits of the exponent, for NumPy and for loop values."""
    zero = x * 0
    result, factor = zero + 1, x
    for k in range(width):
        result = select(differs((y >> k if k else y) & 1, 0), result * factor, result)
        factor = factor * factor
    if not signed:
        return result
    # A negative power of 1 is 1, of -1 alternates (its lowest bit said so), of anything else 0.
    vanishes = (y < 0) & differs(x, 1) & differs(x, -1)
    return select(vanishes, zero, result)


def _pow(x: Any, y: Any) -> Any:
    if is_floating(x) or is_floating(y):
        return np.power(x, y)
    x, y = one_integer_dtype(x, y)
    return _integer_powers(x, y, 8 * x.dtype.itemsize, x.dtype.kind == "i", np.where, np.not_equal).astype(
        x.dtype
    )


def _pow_loop(b: Any, x: Any, y: Any) -> Any:
    if x.dtype[0] == "f":
        return b.math("pow", x, y)
    return _integer_powers(x, y, 8 * int(x.dtype[1]), x.dtype[0] == "i", b.select, lambda v, w: v.ne(w))


def _pow_in_x(t: Any, _out: Any, x: Any, y: Any) -> Any:
    """y x^(y-1); 0 where y is 0, whatever x is."""
    x, y = _strong(t, x, y)
    none = eq(y, 0.0)
    slope = mul(y, pow(x, select(none, _like(y, 1.0), sub(y, 1.0))))
    return mul(t, select(none, _like(slope, 0.0), slope))


def _pow_in_y(t: Any, out: Any, x: Any, _y: Any) -> Any:
    """out log x, and 0 where x is 0."""
    (x,) = _strong(t, x)
    return mul(t, mul(P.log(select(eq(x, 0.0), _like(x, 1.0), x)), out))


def _strong(t: Any, *xs: Any) -> list[Any]:
    """Operands in the dtype of t: a weak scalar may have another."""
    return [of_dtype(x, aval_of(t).dtype) for x in xs]


def _like(x: Any, value: float) -> Any:
    """A scalar of x's dtype."""
    return add(zeros(Aval((), aval_of(x).dtype)), value)


# floats to float powers as C's pow; integers to integer powers, of which negative ones round towards zero
pow = elementwise(
    "pow",
    _pow,
    _pow_loop,
    _pow_in_x,
    _pow_in_y,
    kinds=FIELD,
    pairs=of_pairs("pow"),
    samples=lambda: [
        *binary(0.5, 2.0, complexes=True),
        Sample(
            (np.array([2, -3, -1, 1, 0, 5, -1], np.int32), np.array([10, 3, -3, -4, 2, -1, -2], np.int32))
        ),
        # a power of 0 has a derivative from one side only
        Sample((np.array([0, 0, 0, 2], np.float32), np.array([0, 2, 1, 0], np.float32)), differentiate=False),
    ],
)
