"""Elementwise arithmetic: sums and products, powers, extremes, rounding.

Integers wrap around and divide towards zero; x / 0 has all bits set and x rem 0 is x, on every machine."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from fnn.core.aval import Aval
from fnn.core.primitive import Sample, registry
from fnn.core.source import describe, here
from fnn.core.trace import aval_of
from fnn.errors import ArgumentError, DtypeError
from fnn.primitives.bitwise import and_
from fnn.primitives.comparison import eq, gt, lt, select
from fnn.primitives.rules import check_kinds, elementwise, zeros

NUMBERS = "iuf"


def binary(low: float = -2.0, high: float = 2.0, code: str = "f4", integers: bool = True) -> list[Sample]:
    """Samples of an operation on two operands: arrays, scalars, weak numbers, empty arrays, integers."""
    pairs: list[tuple[Any, Any]] = [
        (f"{code}[2,3]", f"{code}[2,3]"), (f"{code}[]", f"{code}[3]"), (f"{code}[3]", f"{code}[]"),
        (f"{code}[]", f"{code}[]"), (f"{code}[2]", 1.5), (f"{code}[0,3]", f"{code}[0,3]"), (0.5, 1.25),
    ]
    if integers:
        pairs += [("i4[3,2]", "i4[3,2]"), ("u1[4]", "u1[4]"), ("i1[]", "i1[4]"), ("i4[3]", 3), (5, 3)]
    return [Sample(pair, low=low, high=high) for pair in pairs]


def unary(low: float = -2.0, high: float = 2.0, integers: bool = False) -> list[Sample]:
    """Samples of an operation on one operand."""
    specs: list[Any] = ["f4[2,3]", "f4[]", "f4[3,0]", (low + high) / 2 + 0.125]
    return [Sample((s,), low=low, high=high) for s in specs + (["i4[5]", "u2[3]", "i1[4]"] if integers else [])]


# -- sums and products --------------------------------------------------------------------------------------------

add = elementwise("add", np.add, lambda b, x, y: x + y, 1, 1, kinds=NUMBERS, samples=binary())
sub = elementwise("sub", np.subtract, lambda b, x, y: x - y, 1, -1, kinds=NUMBERS, samples=binary())
mul = elementwise(
    "mul", np.multiply, lambda b, x, y: x * y,
    lambda t, _out, _x, y: mul(t, y),
    lambda t, _out, x, _y: mul(t, x),
    kinds=NUMBERS, samples=binary(),
)  # fmt: skip
neg = elementwise("neg", np.negative, lambda b, x: -x, -1, kinds=NUMBERS, samples=unary(integers=True))
square = elementwise(
    "square", np.square, lambda b, x: x * x,
    lambda t, _out, x: mul(t, mul(x, 2.0)),
    kinds=NUMBERS, samples=unary(integers=True),
)  # fmt: skip


def _is_float(x: Any) -> bool:
    """Of an operand in NumPy: bfloat16 never arrives here, a Python number may."""
    return np.asarray(x).dtype.kind == "f"


def _divide(x: Any, y: Any) -> Any:
    if _is_float(x) or _is_float(y):
        return np.divide(x, y)
    x, y = _broadcast_integers(x, y)
    if x.dtype.kind == "u":
        return np.where(y == 0, ~np.zeros_like(y), x // np.where(y == 0, 1, y).astype(y.dtype))
    safe = np.where((y == 0) | (y == -1), 1, y).astype(y.dtype)
    quotient = (x - np.fmod(x, safe)) // safe
    return np.where(y == 0, -1, np.where(y == -1, -x, quotient)).astype(x.dtype)


def _remainder(x: Any, y: Any) -> Any:
    if _is_float(x) or _is_float(y):
        return np.fmod(x, y)
    x, y = _broadcast_integers(x, y)
    safe = np.where(y == 0, 1, y).astype(y.dtype)
    if x.dtype.kind == "i":
        safe = np.where(y == -1, 1, safe).astype(y.dtype)
    return np.where(y == 0, x, np.fmod(x, safe)).astype(x.dtype)


def _broadcast_integers(x: Any, y: Any) -> list[np.ndarray]:
    """Both as arrays of one dtype: a Python number takes the other's."""
    dtype = next((a.dtype for a in (x, y) if hasattr(a, "dtype")), None)
    return np.broadcast_arrays(np.asarray(x, dtype), np.asarray(y, dtype))  # type: ignore[return-value]  # a tuple of them


def _divide_loop(b: Any, x: Any, y: Any) -> Any:
    if x.dtype[0] == "f" or _harmless(y):
        return x / y
    if x.dtype[0] == "u":
        zero = y.eq(0)
        return b.select(zero, b.op("not", x ^ x), x // b.select(zero, 1, y))
    zero, minus = y.eq(0), y.eq(-1)
    quotient = x // b.select(zero | minus, 1, y)
    return b.select(zero, -1, b.select(minus, -x, quotient))


def _remainder_loop(b: Any, x: Any, y: Any) -> Any:
    if x.dtype[0] == "f" or _harmless(y):
        return x % y
    if x.dtype[0] == "u":
        zero = y.eq(0)
        return b.select(zero, x, x % b.select(zero, 1, y))
    zero, minus = y.eq(0), y.eq(-1)
    return b.select(zero, x, x % b.select(zero | minus, 1, y))


def _harmless(y: Any) -> bool:
    """A known divisor that no processor stumbles over."""
    return y.op == "const" and y.payload not in (0, -1)


_divisors = binary(0.5, 2.0) + [
    Sample((np.array([7, -7, 7, -7, 5, -(2**31)], np.int32), np.array([2, 2, -2, -2, 0, -1], np.int32))),
    Sample((np.array([7, 200, 3], np.uint8), np.array([2, 7, 0], np.uint8))),
]
div = elementwise(
    "div", _divide, _divide_loop,
    lambda t, _out, _x, y: div(t, y),
    lambda t, out, _x, y: neg(div(mul(t, out), y)),
    kinds=NUMBERS, samples=_divisors,
)  # fmt: skip
# the remainder has the sign of x; its quotient, which the derivative needs, is x / y towards zero
rem = elementwise(
    "rem", _remainder, _remainder_loop,
    1,
    lambda t, _out, x, y: neg(mul(t, _towards_zero(div(x, y)))),
    kinds=NUMBERS,
    samples=[*_divisors, Sample((np.array([5.5, -5.5, 5.5, -5.5, 3], np.float32), np.array([2, 2, -2, -2, 1.25], np.float32)))],
)  # fmt: skip


def _towards_zero(q: Any) -> Any:
    return mul(sign(q), floor(abs(q)))


# -- sign and extremes ----------------------------------------------------------------------------------------------


def _sign_loop(b: Any, x: Any) -> Any:
    negative = x if x.dtype[0] == "u" else b.select(x < 0, -1, x)  # zeros and NaN stay
    return b.select(x > 0, 1, negative)


sign = elementwise("sign", np.sign, _sign_loop, None, kinds=NUMBERS, samples=[
    *unary(0.5, 2.0, integers=True),
    Sample((np.array([-2, -0.0, 0.0, 3, np.nan, -np.inf], np.float32),), differentiate=False),  # jumps at 0
])
abs = elementwise(
    "abs", np.abs, lambda b, x: x if x.dtype[0] == "u" else b.op("abs", x),
    lambda t, _out, x: mul(t, sign(x)),
    kinds=NUMBERS, samples=unary(0.25, 2.0, integers=True) + unary(-2.0, -0.25),
)  # fmt: skip


def _if_first(beats: Any) -> Callable[..., Any]:
    """t where x beats y, half of it where they tie."""

    def partial(t: Any, _out: Any, x: Any, y: Any) -> Any:
        zero = zeros(Aval((), aval_of(t).dtype))
        return select(beats(x, y), t, select(eq(x, y), mul(t, 0.5), zero))

    return partial


_ties = [
    # a kink: finite differences agree with half of each by symmetry, but not at infinity or NaN
    Sample((np.array([1, 2, np.nan, 3, np.inf], np.float32), np.array([1, 3, 1, np.nan, np.inf], np.float32)),
           differentiate=False),
]
max = elementwise(
    "max", np.maximum, lambda b, x, y: b.op("max", x, y),
    _if_first(gt), lambda t, out, x, y: _if_first(gt)(t, out, y, x),
    kinds=NUMBERS, samples=binary() + _ties,
)  # fmt: skip
min = elementwise(
    "min", np.minimum, lambda b, x, y: b.op("min", x, y),
    _if_first(lt), lambda t, out, x, y: _if_first(lt)(t, out, y, x),
    kinds=NUMBERS, samples=binary() + _ties,
)  # fmt: skip


def _masked(mask: Any, t: Any) -> Any:
    return select(mask, t, zeros(Aval((), aval_of(t).dtype)))


# min(max(x, lo), hi); at a bound and outside the derivative in x is 0
clamp = elementwise(
    "clamp", lambda lo, x, hi: np.minimum(np.maximum(x, lo), hi), lambda b, lo, x, hi: b.op("min", b.op("max", x, lo), hi),
    lambda t, _out, lo, x, _hi: _masked(gt(lo, x), t),
    lambda t, _out, lo, x, hi: _masked(and_(gt(x, lo), lt(x, hi)), t),
    lambda t, _out, _lo, x, hi: _masked(gt(x, hi), t),
    kinds=NUMBERS,
    samples=[
        Sample(("f4[]", np.array([-3.0, 0.1, 9.0], np.float32), "f4[]"), low=0.5, high=0.5 + 1e-6, differentiate=False),
        Sample((-1.0, "f4[2,3]", 1.0)),
        Sample((np.array([-1.0, 0.5], np.float32), np.array([0.25, 0.25], np.float32), np.array([1.0, 2.0], np.float32))),
        Sample((np.array([1.0, -0.5], np.float32), np.array([2.25, -0.25], np.float32), np.array([1.5, 2.0], np.float32))),
        Sample((0, "i4[4]", 1)),
        Sample((-1.0, "f4[0]", 1.0)),
    ],
)  # fmt: skip

# -- powers ---------------------------------------------------------------------------------------------------------


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
    check_kinds("integer_pow", (x,), NUMBERS)
    if not isinstance(n, int) or isinstance(n, bool):
        raise ArgumentError(f"integer_pow: the exponent {n!r} is not a Python int, at {describe(here())}; use pow")
    if n < 0 and not x.is_float:
        raise DtypeError(f"integer_pow: integers {x} have no power {n}, at {describe(here())}; convert them to floats")
    return x


integer_pow = elementwise(
    "integer_pow", _integer_pow, _integer_pow_loop, _integer_pow_partial, shape=_integer_pow_shape,
    samples=[
        *[Sample(("f4[2,3]",), {"n": n}) for n in (0, 1, 2, 3, 7, 8)],
        *[Sample(("f4[4]",), {"n": n}, low=0.5) for n in (-1, -2, -3)],
        Sample(("i4[4]",), {"n": 3}), Sample(("u1[4]",), {"n": 0}), Sample(("f4[0]",), {"n": 2}), Sample((1.5,), {"n": 2}),
    ],
)  # fmt: skip


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
    if _is_float(x) or _is_float(y):
        return np.power(x, y)
    x, y = _broadcast_integers(x, y)
    return _integer_powers(x, y, 8 * x.dtype.itemsize, x.dtype.kind == "i", np.where, np.not_equal).astype(x.dtype)


def _pow_loop(b: Any, x: Any, y: Any) -> Any:
    if x.dtype[0] == "f":
        return b.math("pow", x, y)
    return _integer_powers(x, y, 8 * int(x.dtype[1]), x.dtype[0] == "i", b.select, lambda v, w: v.ne(w))


def _pow_in_x(t: Any, _out: Any, x: Any, y: Any) -> Any:
    """y x^(y-1); 0 where y is 0, whatever x is."""
    none = eq(y, 0.0)
    slope = mul(y, pow(x, select(none, _like(y, 1.0), sub(y, 1.0))))
    return mul(t, select(none, _like(slope, 0.0), slope))


def _pow_in_y(t: Any, out: Any, x: Any, _y: Any) -> Any:
    """out log x, and 0 where x is 0."""
    return mul(t, mul(registry["log"](select(eq(x, 0.0), _like(x, 1.0), x)), out))


def _like(x: Any, value: float) -> Any:
    """A scalar of x's dtype."""
    return add(zeros(Aval((), aval_of(x).dtype)), value)


# floats to float powers as C's pow; integers to integer powers, of which negative ones round towards zero
pow = elementwise(
    "pow", _pow, _pow_loop, _pow_in_x, _pow_in_y, kinds=NUMBERS,
    samples=[
        *binary(0.5, 2.0),
        Sample((np.array([2, -3, -1, 1, 0, 5, -1], np.int32), np.array([10, 3, -3, -4, 2, -1, -2], np.int32))),
        # a power of 0 has a derivative from one side only
        Sample((np.array([0, 0, 0, 2], np.float32), np.array([0, 2, 1, 0], np.float32)), differentiate=False),
    ],
)  # fmt: skip

# -- rounding -------------------------------------------------------------------------------------------------------

# finite differences are right between the jumps, which lie on the integers and half-way
_between = unary(0.125, 0.375) + unary(-1.375, -1.125)
_jumps = [Sample((np.array([-2.5, -1.5, -0.5, -0.3, 0.5, 0.49999997, 1.5, 2.5, 3.0, np.nan], np.float32),),
                 differentiate=False)]  # the jumps themselves
floor = elementwise("floor", np.floor, lambda b, x: b.op("floor", x), None, samples=_between + _jumps)
ceil = elementwise("ceil", np.ceil, lambda b, x: b.op("ceil", x), None, samples=_between + _jumps)


def _round(x: Any, method: str) -> Any:
    if method == "nearest_even":
        return np.rint(x)
    whole = np.trunc(x)
    return np.where(np.abs(x - whole) >= 0.5, whole + np.copysign(np.ones_like(whole), x), whole)


def _round_loop(b: Any, x: Any, method: str) -> Any:
    if method == "nearest_even":
        return b.op("rint", x)
    whole = b.op("trunc", x)
    return b.select(b.op("abs", x - whole) >= 0.5, whole + b.op("copysign", b.const(1.0, x.dtype), x), whole)


def _round_shape(x: Aval, method: str) -> Aval:
    check_kinds("round", (x,), "f")
    if method not in ("nearest_even", "away"):
        raise ArgumentError(f'round: method is "nearest_even" or "away", not {method!r}, at {describe(here())}')
    return x


# method: where halves go
round = elementwise(
    "round", _round, _round_loop, None, shape=_round_shape,
    samples=[Sample(s.args, {"method": m}, s.low, s.high, s.differentiate)
             for m in ("nearest_even", "away") for s in _between + _jumps],
)  # fmt: skip
