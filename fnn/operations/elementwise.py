"""Elementwise functions of one, two and three operands, made from tables; the operators of arrays are among them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fnn import dtypes
from fnn import primitives as P
from fnn.config import config
from fnn.core.array import Array, ConcreteArray
from fnn.core.aval import Aval
from fnn.core.primitive import Primitive
from fnn.core.source import describe, here
from fnn.core.trace import Tracer, aval_of, state
from fnn.errors import DtypeError
from fnn.operations import operands
from fnn.operations.complex_order import extreme_by, ordered
from fnn.operations.operands import array_of, aval_of_key, key_of, meet, operand
from fnn.operations.remainders import copysign, floor_divide, floor_divmod, is_float, like, mod, rem_of, zero
from fnn.primitives import abs as abs_p
from fnn.primitives import add as add_p
from fnn.primitives import and_, convert, div, eq, gt, lt, mul, ne, neg, not_, or_, select, sub
from fnn.primitives import floor as floor_p
from fnn.primitives import round as round_p
from fnn.primitives.rules import check_kinds, zeros

Function = Callable[..., Any]
LONGEST_INTEGER_POWER = 64  # x ** 7.0 is computed by squaring up to here


def _is_complex(x: Any) -> bool:
    return dtypes.is_complex(aval_of(x).dtype)


# -- making functions -----------------------------------------------------------------------------------------------


def _documented(f: Function, name: str, text: str) -> Function:
    f.__name__ = f.__qualname__ = name
    f.__module__ = "fnn.numpy"  # where it is found by its name
    f.__doc__ = text
    return f


def unary(
    name: str, text: str, compute: Function, mode: str = "inexact", booleans: Function | None = None
) -> Function:
    """A function of one operand: compute(x) after promotion to the mode's dtype; booleans(x) for bools instead."""
    plans: dict[Any, Any] = {}

    def call(x: Any, /) -> Any:
        cls = type(x)
        if cls is not ConcreteArray and cls is not Tracer:
            x = operand(name, x)
        key = key_of(x)
        traced = cls is Tracer or state.stage is not None
        plan: Any = plans.get((key, traced, config.enable_x64))
        if plan is None:
            aval = aval_of_key(key)
            if booleans is not None and dtypes.is_bool(aval.dtype):
                plan = booleans, None
            else:
                plan = compute, operands.fixes(name, (key,), mode)[0]
            plan = _keep(plans, (key, traced, config.enable_x64), plan, x)
        function, prepared, fix = plan
        if fix is not None:
            x = fix(x)
        if prepared is not None:
            value = x._value if type(x) is ConcreteArray else x
            if value is not None:
                return prepared(value)
        return function(x)

    return _documented(call, name, text)


def binary(
    name: str, text: str, compute: Function, mode: str = "same", booleans: Function | None = None
) -> Function:
    """A function of two operands: compute(x, y) after they met; booleans(x, y) where they meet in bool instead."""
    plans: dict[Any, Any] = {}

    def call(x: Any, y: Any, /) -> Any:
        traced = state.stage is not None
        cls = type(x)
        if cls is ConcreteArray:
            a: Any = x.aval
        elif cls is Tracer:
            a, traced = x.aval, True
        else:
            x = operand(name, x)
            a = key_of(x)
        cls = type(y)
        if cls is ConcreteArray:
            b: Any = y.aval
        elif cls is Tracer:
            b, traced = y.aval, True
        else:
            y = operand(name, y)
            b = key_of(y)
        plan: Any = plans.get((a, b, traced, config.enable_x64))
        if plan is None:
            dtype, _ = operands.common_dtype(name, [aval_of_key(a), aval_of_key(b)])
            logical = booleans is not None and dtypes.is_bool(dtype)
            plan = (
                booleans if logical else compute,
                *operands.fixes(name, (a, b), "same" if logical else mode),
            )
            plan = _keep(plans, (a, b, traced, config.enable_x64), plan, x, y)
        function, prepared, fix_x, fix_y = plan
        if fix_x is not None:
            x = fix_x(x)
        if fix_y is not None:
            y = fix_y(y)
        if prepared is not None:
            u = x._value if type(x) is ConcreteArray else x
            v = y._value if type(y) is ConcreteArray else y
            if u is not None and v is not None:  # nothing was donated
                return prepared(u, v)
        return function(x, y)

    return _documented(call, name, text)


def _keep(plans: dict[Any, Any], key: tuple[Any, ...], plan: tuple[Any, ...], *xs: Any) -> tuple[Any, ...]:
    """Keeps what to do with operands as these: (function, what computes it on their values without a trace if that is
    one primitive, fixes...)."""
    function, *fixes = plan
    prepared = None
    if type(function) is Primitive and not key[-2]:
        met = [x if fix is None else fix(x) for x, fix in zip(xs, fixes, strict=True)]
        prepared = function.prepared(met, {})
    if len(plans) > 2048:
        plans.clear()
    plans[key] = function, prepared, *fixes
    return plans[key]


def _refuse_bool(instead: str) -> Function:
    def refuse(*xs: Any) -> Any:
        raise DtypeError(f"bools have no arithmetic of this kind, at {describe(here())}; {instead}")

    return refuse


# -- of two operands ------------------------------------------------------------------------------------------------


def _complex_arrays(*xs: Any) -> list[Any]:
    """Operands of which one is complex, Python numbers as arrays of its dtype."""
    dtype = next(aval_of(x).dtype for x in xs if _is_complex(x))
    return [x if isinstance(x, Array) else P.convert(x, dtype=dtype) for x in xs]


def _atan2(y: Any, x: Any) -> Any:
    if not (_is_complex(x) or _is_complex(y)):
        return P.atan2(y, x)
    x, y = _complex_arrays(x, y)
    turned = P.complex(neg(P.imag(y)), P.real(y))  # i y
    angle = P.log(div(add_p(x, turned), P.sqrt(add_p(P.square(x), P.square(y)))))
    return P.complex(P.imag(angle), neg(P.real(angle)))


def _log_add(exp: Function, log1p: Function, base: float = math.e) -> Function:
    """log(exp(x) + exp(y)) without overflow; also where both are the same infinity; the principal value if complex."""
    half = math.pi / math.log(base)

    def of_complex(x: Any, y: Any) -> Any:
        x, y = _complex_arrays(x, y)
        swapped = lt(P.real(x), P.real(y))
        top, low = select(swapped, y, x), select(swapped, x, y)
        out = add_p(top, log1p(exp(sub(low, top))))
        turns = round_p(div(P.imag(out), 2 * half), method="nearest_even")
        return P.complex(P.real(out), sub(P.imag(out), mul(turns, 2 * half)))

    def compute(x: Any, y: Any) -> Any:
        if _is_complex(x) or _is_complex(y):
            return of_complex(x, y)
        top = P.max(x, y)
        gap = sub(x, y)
        undefined = ne(gap, gap)  # equal infinities, or NaN
        safe = select(undefined, zero(gap), gap)
        return select(undefined, add_p(x, y), add_p(top, log1p(exp(neg(abs_p(safe))))))

    return compute


def _hypot(x: Any, y: Any) -> Any:
    x, y = abs_p(x), abs_p(y)
    top, low = P.max(x, y), P.min(x, y)
    none = eq(top, 0.0)
    ratio = div(low, select(none, _one(top), top))
    root = mul(top, P.sqrt(add_p(1.0, P.square(ratio))))
    infinite = or_(eq(x, math.inf), eq(y, math.inf))  # beside NaN too
    return select(none, top, select(infinite, add_p(zero(top), math.inf), root))


def _sign(x: Any) -> Any:
    if _is_complex(x):
        none = eq(size := abs_p(x), 0.0)
        unit = div(x, P.convert(select(none, _one(size), size), dtype=aval_of(x).dtype))
        return select(none, zero(x), unit)
    out = P.sign(x)
    return add_p(out, zero(out)) if is_float(out) else out  # where P.sign keeps -0.0


def _one(x: Any) -> Any:
    return add_p(zero(x), 1.0)


def _shift_right(x: Any, y: Any) -> Any:
    unsigned = "u" in (dtypes.kind(aval_of(x).dtype), dtypes.kind(aval_of(y).dtype))
    return (P.shift_right_logical if unsigned else P.shift_right_arithmetic)(x, y)


def _heaviside(x: Any, y: Any) -> Any:
    step = P.convert(gt(x, zero(x)), dtype=aval_of(x).dtype)
    return select(eq(x, zero(x)), y, select(ne(x, x), x, step))


def _fmax(extreme: Function) -> Function:
    """An extreme that prefers numbers to NaN."""

    def compute(x: Any, y: Any) -> Any:
        if not (aval_of(x).is_inexact or aval_of(y).is_inexact):
            return extreme(x, y)
        return select(ne(x, x), y, select(ne(y, y), x, extreme(x, y)))

    return compute


def _of_keys(compare: Function) -> Function:
    """A comparison that knows random keys too, by their bits."""
    bits = np.dtype("uint64")

    def function(x: Any, y: Any) -> Any:
        if dtypes.is_key(aval_of(x).dtype):
            x, y = P.bitcast(x, dtype=bits), P.bitcast(y, dtype=bits)
        return compare(x, y)

    return function


_minus = _refuse_bool("x ^ y says where bools differ; convert with x.astype(int)")
# name: (what it gives, on operands that met, the mode, on bools)
_BINARY: dict[str, tuple[str, Function, str, Function | None]] = {
    "add": ("x + y; `or` for bools.", add_p, "same", or_),
    "subtract": ("x - y.", sub, "same", _minus),
    "multiply": ("x * y; `and` for bools.", mul, "same", and_),
    "divide": ("x / y, a float; integers are converted first.", div, "inexact", None),
    "floor_divide": ("x // y, rounded down, as in Python.", floor_divide, "number", None),
    "remainder": ("x % y with the sign of y, as in Python.", mod, "number", None),
    "fmod": ("The remainder of x / y with the sign of x, as in C.", rem_of, "number", None),
    "arctan2": ("The angle of the point (y, x) given as arctan2(y, x), in radians.", _atan2, "inexact", None),
    "maximum": ("The larger of each pair; NaN wins.", extreme_by(P.max, gt), "same", or_),
    "minimum": ("The smaller of each pair; NaN wins.", extreme_by(P.min, lt), "same", and_),
    "fmax": ("The larger of each pair; numbers win over NaN.", _fmax(extreme_by(P.max, gt)), "same", or_),
    "fmin": ("The smaller of each pair; numbers win over NaN.", _fmax(extreme_by(P.min, lt)), "same", and_),
    "equal": ("Where x == y.", _of_keys(eq), "same", None),
    "not_equal": ("Where x != y.", _of_keys(ne), "same", None),
    "less": ("Where x < y.", ordered(lt), "same", None),
    "less_equal": ("Where x <= y.", ordered(P.le), "same", None),
    "greater": ("Where x > y.", ordered(gt), "same", None),
    "greater_equal": ("Where x >= y.", ordered(P.ge), "same", None),
    "bitwise_and": ("x & y of bools or of the bits of integers.", and_, "same", None),
    "bitwise_or": ("x | y of bools or of the bits of integers.", or_, "same", None),
    "bitwise_xor": ("x ^ y of bools or of the bits of integers.", P.xor, "same", None),
    "left_shift": ("The bits of x, y places to the left.", P.shift_left, "number", None),
    "right_shift": ("The bits of x, y places to the right; negative numbers stay negative.", _shift_right, "number", None),
    "logaddexp": ("log(exp(x) + exp(y)), computed without overflow.",
                  _log_add(P.exp, P.log1p), "inexact", None),
    "logaddexp2": ("log2(2**x + 2**y), computed without overflow.",
                   _log_add(P.exp2, lambda x: div(P.log1p(x), math.log(2)), 2.0), "inexact", None),
    "hypot": ("sqrt(x**2 + y**2), computed without overflow.", _hypot, "real", None),
    "copysign": ("The magnitude of x with the sign of y.", copysign, "real", None),
    "nextafter": ("The number next to x on the way to y.", P.nextafter, "real", None),
    "heaviside": ("0 where x < 0, y where x == 0, 1 where x > 0.", _heaviside, "real", None),
}  # fmt: skip

_MEETING = """

    x, y: arrays or numbers, which meet by promotion and broadcasting. Raises ShapeError where shapes do not broadcast."""
BINARY = {
    name: binary(name, text + _MEETING, compute, mode, booleans)
    for name, (text, compute, mode, booleans) in _BINARY.items()
}


def _logical(name: str, text: str, combine: Function) -> Function:
    def compute(x: Any, y: Any, /) -> Any:
        return meet_and(combine, truth(array_of(name, x)), truth(array_of(name, y)))

    def meet_and(f: Function, x: Any, y: Any) -> Any:
        return f(*meet(name, x, y))

    return _documented(compute, name, text)


def truth(x: Any) -> Any:
    """Where x is not zero: x itself for bools."""
    return x if dtypes.is_bool(aval_of(x).dtype) else ne(x, 0)


logical_and = _logical("logical_and", "Where both x and y hold; numbers hold where they are not 0.", and_)
logical_or = _logical("logical_or", "Where x or y holds; numbers hold where they are not 0.", or_)
logical_xor = _logical(
    "logical_xor", "Where one of x and y holds, not both; numbers hold where they are not 0.", P.xor
)


def logical_not(x: Any, /) -> Any:
    """Where x does not hold; numbers hold where they are not 0."""
    return not_(truth(array_of("logical_not", x)))


def divmod_of(x: Any, y: Any, /) -> tuple[Any, Any]:
    """(x // y, x % y), rounded down, as Python's divmod."""
    x, y = meet("divmod", x, y, mode="number")
    if is_float(x) or is_float(y):
        return floor_divmod(x, y)
    return floor_divide(x, y), mod(x, y)


_pow = binary("power", "", P.pow, "number")


def power(x: Any, y: Any, /) -> Any:
    """x to the power y; `x ** y`.

    A Python int as exponent (or a float that is a small whole number) is computed by repeated multiplication, and is right
    for negative x as well. Raises DtypeError for integers to a negative power.

    >>> import fnn.numpy as fnp
    >>> print(fnp.power(fnp.array([1.0, 2.0, 3.0]), 2))
    [1. 4. 9.]
    """
    cls = type(y)
    if cls is int or (cls is float and y.is_integer() and abs(y) <= LONGEST_INTEGER_POWER):
        x = operand("power", x)
        aval = aval_of_key(key_of(x))
        if cls is int or aval.is_inexact:
            if dtypes.is_bool(aval.dtype):
                x = P.convert(x, dtype=dtypes.default_int())
            if y < 0 and not aval.is_inexact:
                raise DtypeError(
                    f"power: integers ({aval}) have no power {y}, at {describe(here())}; write x ** {float(y)}, or "
                    "convert x to a float"
                )
            return P.integer_pow(x, n=int(y))
    return _pow(x, y)


float_power = binary("float_power", "x to the power y, in floats." + _MEETING, P.pow, "inexact")

# -- of one operand -------------------------------------------------------------------------------------------------


def _keep_integers(compute: Function) -> Function:
    return lambda x: compute(x) if aval_of(x).is_inexact else array_of("floor", x)


def _log_base(base: float) -> Function:
    def compute(x: Any) -> Any:
        out = P.log(x)
        if _is_complex(x):  # each part by itself: an infinite one must not spoil the other
            return P.complex(div(P.real(out), math.log(base)), div(P.imag(out), math.log(base)))
        return div(out, math.log(base))

    return compute


def _expm1(x: Any) -> Any:
    if not _is_complex(x):
        return P.expm1(x)
    real, imag = P.real(x), P.imag(x)  # an infinity must not meet sin(0)
    out = select(eq(abs_p(real), math.inf), sub(P.exp(x), 1.0), P.expm1(x))
    return select(eq(imag, zero(imag)), P.complex(P.expm1(real), imag), out)


def _sinc(x: Any) -> Any:
    y = mul(x, math.pi)
    none = eq(y, 0.0)
    safe = select(none, _one(y), y)
    # near 0 the series keeps every derivative right: at 0 itself select would give none
    near = sub(1.0, div(P.square(y), 6.0))
    return select(none, near, div(P.sin(safe), safe))


def _rounded(x: Any) -> Any:
    if _is_complex(x):
        return P.complex(_rounded(P.real(x)), _rounded(P.imag(x)))
    if not is_float(x):
        return P.convert(x, dtype=dtypes.default_float())
    return round_p(x, method="nearest_even")


def _where_float(test: Function, otherwise: bool) -> Function:
    """A test of floats; integers all give `otherwise`."""

    def compute(x: Any) -> Any:
        if aval_of(x).is_inexact:
            return test(x)
        out = zeros(Aval(aval_of(x).shape, dtypes.bool_))
        return not_(out) if otherwise else out

    return compute


def _is_infinity(which: float) -> Function:
    def compute(x: Any) -> Any:
        check_kinds("isposinf" if which > 0 else "isneginf", (aval_of(x),), "f")
        return eq(x, which)

    return compute


def _sign_bit(x: Any) -> Any:
    if not is_float(x):
        return lt(x, zero(x))
    dtype = aval_of(x).dtype
    return lt(P.bitcast(like(x, x), np.dtype(f"i{dtype.itemsize}")), 0)


# name: (what it gives, on the promoted operand, the mode, on bools)
_UNARY: dict[str, tuple[Any, ...]] = {
    "negative": ("-x.", neg, "same", _refuse_bool("~x negates bools")),
    "positive": ("+x: x itself.", lambda x: x if isinstance(x, Array) else array_of("positive", x), "same"),
    "absolute": ("|x|.", abs_p, "same", lambda x: array_of("absolute", x)),
    "fabs": ("|x| as a float.", abs_p, "real"),
    "sign": ("-1, 0 or 1; NaN for NaN, and 0 for -0.0. x / |x| of complex numbers.", _sign, "same",
             _refuse_bool("x.astype(int) gives 0 and 1")),
    "square": ("x * x.", P.square, "number"),
    "reciprocal": ("1 / x.", lambda x: div(1.0, x), "inexact"),
    "sqrt": ("The square root; NaN below 0.", P.sqrt),
    "cbrt": ("The cube root.", P.cbrt),
    "exp": ("e to the power x.", P.exp),
    "exp2": ("2 to the power x.", P.exp2),
    "expm1": ("exp(x) - 1, exact for small x.", _expm1),
    "log": ("The natural logarithm; -inf at 0, NaN below.", P.log),
    "log2": ("The logarithm to base 2.", _log_base(2)),
    "log10": ("The logarithm to base 10.", _log_base(10)),
    "log1p": ("log(1 + x), exact for small x.", P.log1p),
    "sin": ("The sine of an angle in radians.", P.sin),
    "cos": ("The cosine of an angle in radians.", P.cos),
    "tan": ("The tangent of an angle in radians.", P.tan),
    "arcsin": ("The angle in radians whose sine is x.", P.asin),
    "arccos": ("The angle in radians whose cosine is x.", P.acos),
    "arctan": ("The angle in radians whose tangent is x.", P.atan),
    "sinh": ("The hyperbolic sine.", P.sinh),
    "cosh": ("The hyperbolic cosine.", P.cosh),
    "tanh": ("The hyperbolic tangent.", P.tanh),
    "arcsinh": ("The inverse hyperbolic sine.", P.asinh),
    "arccosh": ("The inverse hyperbolic cosine.", P.acosh),
    "arctanh": ("The inverse hyperbolic tangent.", P.atanh),
    "deg2rad": ("Degrees in radians.", lambda x: mul(x, math.pi / 180)),
    "rad2deg": ("Radians in degrees.", lambda x: mul(x, 180 / math.pi)),
    "sinc": ("sin(pi x) / (pi x); 1 at 0.", _sinc),
    "floor": ("The largest whole number not above x.", _keep_integers(floor_p), "same"),
    "ceil": ("The smallest whole number not below x.", _keep_integers(P.ceil), "same"),
    "trunc": ("x without its fraction.",
              _keep_integers(lambda x: select(lt(x, 0.0), P.ceil(x), floor_p(x))), "same"),
    "rint": ("The nearest whole number; halves go to even ones.", _rounded, "same"),
    "isfinite": ("Where x is neither infinite nor NaN.", _where_float(P.is_finite, True), "same"),
    "isnan": ("Where x is NaN.", _where_float(lambda x: ne(x, x), False), "same"),
    "isinf": ("Where x is infinite.", _where_float(lambda x: eq(abs_p(x), math.inf), False), "same"),
    "isposinf": ("Where x is positive infinity.", _where_float(_is_infinity(math.inf), False), "same"),
    "isneginf": ("Where x is negative infinity.", _where_float(_is_infinity(-math.inf), False), "same"),
    "signbit": ("Where the sign bit is set: below 0, and -0.0.", _sign_bit, "number"),
    "invert": ("~x: not for bools, all bits flipped for integers.", not_, "same"),
    "bitwise_count": (
        "How many bits of |x| are set.", lambda x: convert(P.population_count(abs_p(x)), dtype=dtypes.uint8), "number"),
}  # fmt: skip
UNARY = {name: unary(name, text, *rest) for name, (text, *rest) in _UNARY.items()}
