"""Elementwise arithmetic: sums, products and quotients, signs and extremes.

Integers wrap around and divide towards zero; x / 0 has all bits set and x rem 0 is x, on every machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fnn import dtypes
from fnn.core.aval import Aval
from fnn.core.primitive import Sample
from fnn.core.trace import aval_of
from fnn.primitives import pairs
from fnn.primitives.bitwise import and_
from fnn.primitives.comparison import eq, gt, lt, select
from fnn.primitives.complex_numbers import conj, is_complex, real
from fnn.primitives.rounding import floor
from fnn.primitives.rules import check_kinds, elementwise, of_dtype, zeros
from fnn.primitives.sampling import binary, complex_pairs, unary

NUMBERS = "iuf"  # that have an order
FIELD = "iufc"


# -- sums and products ---------------------------------------------------------------------------------------

add = elementwise(
    "add",
    np.add,
    lambda b, x, y: x + y,
    1,
    1,
    kinds=FIELD,
    samples=lambda: binary(complexes=True),
    pairs=pairs.plus,
)
sub = elementwise(
    "sub",
    np.subtract,
    lambda b, x, y: x - y,
    1,
    -1,
    kinds=FIELD,
    samples=lambda: binary(complexes=True),
    pairs=pairs.minus,
)
mul = elementwise(
    "mul",
    np.multiply,
    lambda b, x, y: x * y,
    lambda t, _out, _x, y: mul(t, y),
    lambda t, _out, x, _y: mul(t, x),
    kinds=FIELD,
    samples=lambda: binary(complexes=True),
    pairs=pairs.times,
)
neg = elementwise(
    "neg",
    np.negative,
    lambda b, x: -x,
    -1,
    kinds=FIELD,
    samples=lambda: unary(integers=True, complexes=True),
    pairs=pairs.negative,
)
square = elementwise(
    "square",
    np.square,
    lambda b, x: x * x,
    lambda t, _out, x: mul(t, mul(x, 2.0)),
    kinds=FIELD,
    samples=lambda: unary(integers=True, complexes=True),
    pairs=pairs.squared,
)


def is_floating(x: Any) -> bool:
    """Of an operand in NumPy, real or complex: bfloat16 never arrives here, a Python number may."""
    return np.asarray(x).dtype.kind in "fc"


def _divide(x: Any, y: Any) -> Any:
    if is_floating(x) or is_floating(y):
        return np.divide(x, y)
    x, y = one_integer_dtype(x, y)
    if x.dtype.kind == "u":
        return np.where(y == 0, ~np.zeros_like(y), x // np.where(y == 0, 1, y).astype(y.dtype))
    safe = np.where((y == 0) | (y == -1), 1, y).astype(y.dtype)
    quotient = (x - np.fmod(x, safe)) // safe
    return np.where(y == 0, -1, np.where(y == -1, -x, quotient)).astype(x.dtype)


def _remainder(x: Any, y: Any) -> Any:
    if is_floating(x) or is_floating(y):
        return np.fmod(x, y)
    x, y = one_integer_dtype(x, y)
    safe = np.where(y == 0, 1, y).astype(y.dtype)
    if x.dtype.kind == "i":
        safe = np.where(y == -1, 1, safe).astype(y.dtype)
    return np.where(y == 0, x, np.fmod(x, safe)).astype(x.dtype)


def one_integer_dtype(x: Any, y: Any) -> list[np.ndarray]:
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
    if x.dtype[0] == "f":
        return _fmod(b, x, y)
    if _harmless(y):
        return x % y
    if x.dtype[0] == "u":
        zero = y.eq(0)
        return b.select(zero, x, x % b.select(zero, 1, y))
    zero, minus = y.eq(0), y.eq(-1)
    return b.select(zero, x, x % b.select(zero | minus, 1, y))


def _fmod(b: Any, x: Any, y: Any) -> Any:
    """x - y trunc(x / y), exactly. Machines have no such instruction: a quotient that is exact but for its rounding up
    needs a multiply-add and a correction; the rest, of huge and unusual quotients, is the C library's."""
    with b.exact():
        size, divisor = b.op("abs", x), b.op("abs", y)
        ratio = size / divisor
        quotient = b.op("trunc", ratio)
        rest = b.op("fma", -quotient, divisor, size)
        rest = b.select(rest < 0.0, rest + divisor, rest)
        rest = b.select(quotient.eq(0.0), size, rest)
        out = b.variable(x.dtype, b.op("copysign", rest, x))
        with b.rarely(b.op("not", ratio < 2.0 ** (22 if x.dtype == "f4" else 51))):
            out.set(x % y)
        return out.value


def _harmless(y: Any) -> bool:
    """A known divisor that no processor stumbles over."""
    return y.op == "const" and y.payload not in (0, -1)


_divisors = binary(0.5, 2.0) + [
    Sample((np.array([7, -7, 7, -7, 5, -(2**31)], np.int32), np.array([2, 2, -2, -2, 0, -1], np.int32))),
    Sample((np.array([7, 200, 3], np.uint8), np.array([2, 7, 0], np.uint8))),
]
div = elementwise(
    "div",
    _divide,
    _divide_loop,
    lambda t, _out, _x, y: div(t, y),
    lambda t, out, _x, y: neg(div(mul(t, out), y)),
    kinds=FIELD,
    samples=lambda: _divisors + complex_pairs(0.5, 2.0),
    pairs=pairs.over,
)
# the remainder has the sign of x; its quotient, which the derivative needs, is x / y towards zero
rem = elementwise(
    "rem",
    _remainder,
    _remainder_loop,
    1,
    lambda t, _out, x, y: neg(mul(t, _towards_zero(div(x, y)))),
    kinds=NUMBERS,
    samples=lambda: [
        *_divisors,
        Sample((np.array([5.5, -5.5, 5.5, -5.5, 3], np.float32), np.array([2, 2, -2, -2, 1.25], np.float32))),
    ],
)


def _towards_zero(q: Any) -> Any:
    return mul(sign(q), floor(abs(q)))


# -- sign and extremes ---------------------------------------------------------------------------------------


def _sign_loop(b: Any, x: Any) -> Any:
    negative = x if x.dtype[0] == "u" else b.select(x < 0, -1, x)  # zeros and NaN stay
    return b.select(x > 0, 1, negative)


def _sign(x: Any) -> Any:
    out = np.sign(x)
    return np.where(out == 0, x, out) if is_floating(x) else out  # -0.0 keeps its sign


sign = elementwise(
    "sign",
    _sign,
    _sign_loop,
    None,
    kinds=NUMBERS,
    samples=lambda: [
        *unary(0.5, 2.0, integers=True),
        Sample(
            (np.array([-2, -0.0, 0.0, 3, np.nan, -np.inf], np.float32),), differentiate=False
        ),  # jumps at 0
    ],
)


def _abs_shape(x: Aval) -> Aval:
    check_kinds("abs", (x,), FIELD)
    return x.update(dtype=dtypes.real_of(x.dtype))


def _abs_partial(t: Any, _out: Any, x: Any) -> Any:
    """Of complex numbers t conj(x) / |x|, of which a tangent has the real part; 0 where x is 0."""
    if not is_complex(x):
        return mul(t, sign(x))
    size = abs(x)
    one = add(zeros(Aval((), aval_of(size).dtype)), 1.0)
    slope = div(conj(x), of_dtype(select(eq(size, 0.0), one, size), aval_of(x).dtype))
    return real(mul(t, slope)) if is_complex(t) else mul(of_dtype(t, aval_of(x).dtype), slope)


# of complex numbers the modulus
abs = elementwise(
    "abs",
    np.abs,
    lambda b, x: x if x.dtype[0] == "u" else b.op("abs", x),
    _abs_partial,
    shape=_abs_shape,
    pairs=pairs.modulus,
    samples=lambda: [
        *unary(0.25, 2.0, integers=True, complexes=True),
        *unary(-2.0, -0.25),
        Sample(
            (np.array([0, 3e30 + 4e30j, 3e-30 - 4e-30j, complex(np.nan, np.inf)], np.complex64),),
            differentiate=False,
        ),
    ],
)


# the magnitude of x with the sign of y, of -0.0 too
copysign = elementwise(
    "copysign",
    np.copysign,
    lambda b, x, y: b.op("copysign", x, y),
    lambda t, _out, x, y: mul(t, mul(copysign(1.0, x), copysign(1.0, y))),
    samples=lambda: [
        *binary(0.25, 2.0, integers=False),
        Sample(
            (np.array([1, -1, 0, -0.0, 2, -3], np.float32), np.array([-0.0, 0.0, -1, 1, -2, 2], np.float32)),
            differentiate=False,
        ),
    ],
)


def _if_first(beats: Any) -> Callable[..., Any]:
    """t where x beats y, half of it where they tie."""

    def partial(t: Any, _out: Any, x: Any, y: Any) -> Any:
        zero = zeros(Aval((), aval_of(t).dtype))
        return select(beats(x, y), t, select(eq(x, y), mul(t, 0.5), zero))

    return partial


_ties = [
    # a kink: finite differences agree with half of each by symmetry, but not at infinity or NaN
    Sample(
        (np.array([1, 2, np.nan, 3, np.inf], np.float32), np.array([1, 3, 1, np.nan, np.inf], np.float32)),
        differentiate=False,
    )
]
max = elementwise(
    "max",
    np.maximum,
    lambda b, x, y: b.op("max", x, y),
    _if_first(gt),
    lambda t, out, x, y: _if_first(gt)(t, out, y, x),
    kinds=NUMBERS,
    samples=lambda: binary() + _ties,
)
min = elementwise(
    "min",
    np.minimum,
    lambda b, x, y: b.op("min", x, y),
    _if_first(lt),
    lambda t, out, x, y: _if_first(lt)(t, out, y, x),
    kinds=NUMBERS,
    samples=lambda: binary() + _ties,
)


def _masked(mask: Any, t: Any) -> Any:
    return select(mask, t, zeros(Aval((), aval_of(t).dtype)))


# min(max(x, lo), hi); at a bound and outside the derivative in x is 0
clamp = elementwise(
    "clamp",
    lambda lo, x, hi: np.minimum(np.maximum(x, lo), hi),
    lambda b, lo, x, hi: b.op("min", b.op("max", x, lo), hi),
    lambda t, _out, lo, x, _hi: _masked(gt(lo, x), t),
    lambda t, _out, lo, x, hi: _masked(and_(gt(x, lo), lt(x, hi)), t),
    lambda t, _out, _lo, x, hi: _masked(gt(x, hi), t),
    kinds=NUMBERS,
    samples=lambda: [
        Sample(
            ("f4[]", np.array([-3.0, 0.1, 9.0], np.float32), "f4[]"),
            low=0.5,
            high=0.5 + 1e-6,
            differentiate=False,
        ),
        Sample((-1.0, "f4[2,3]", 1.0)),
        Sample(
            (
                np.array([-1.0, 0.5], np.float32),
                np.array([0.25, 0.25], np.float32),
                np.array([1.0, 2.0], np.float32),
            )
        ),
        Sample(
            (
                np.array([1.0, -0.5], np.float32),
                np.array([2.25, -0.25], np.float32),
                np.array([1.5, 2.0], np.float32),
            )
        ),
        Sample((0, "i4[4]", 1)),
        Sample((-1.0, "f4[0]", 1.0)),
    ],
)
