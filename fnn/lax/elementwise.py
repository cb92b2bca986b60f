"""Operations element by element: shapes are equal or scalar, dtypes are equal but for Python numbers and
weak types."""

from __future__ import annotations

import builtins
import enum
from collections.abc import Callable
from typing import Any

import numpy as np

from fnn import dtypes, tree
from fnn import primitives as P
from fnn.core.array import Array, as_array, from_numpy
from fnn.core.primitive import Primitive
from fnn.core.source import describe, here
from fnn.errors import DtypeError, ShapeError
from fnn.operations.complex_order import extreme_by
from fnn.operations.elementwise import UNARY
from fnn.operations.operands import broadcast_shapes, to_shape


def operands(name: str, *xs: Any, spread: bool = False) -> list[Array]:
    """Arrays of one dtype: weak ones take the dtype of the others. DtypeError where strong ones differ or
    cannot hold the weak ones, ShapeError where shapes differ and are not scalar (with `spread`, axes of size 1 are
    repeated)."""
    arrays = [as_array(x) for x in xs]
    strong = {a.dtype for a in arrays if not a.weak_type}
    dtype = arrays[0].dtype if len(strong) > 1 else dtypes.result([a.aval for a in arrays])[0]
    if len(strong | {dtype}) > 1 and strong:
        raise DtypeError(
            f"lax.{name} needs operands of one dtype, got {', '.join(str(a.aval) for a in arrays)}, at "
            f"{describe(here())}; convert one (.astype), or use the function of fnn.numpy, which promotes"
        )
    out = [a if a.dtype == dtype else P.convert(a, dtype=dtype) for a in arrays]
    shapes = {a.shape for a in out if a.shape}
    if len(shapes) > 1:
        if spread and len({len(s) for s in shapes}) == 1:
            shape = broadcast_shapes(f"lax.{name}", *shapes)
            return [to_shape(a, shape) if a.shape else a for a in out]
        raise ShapeError(
            f"lax.{name} needs operands of one shape (or scalars), got {', '.join(map(str, shapes))}, at "
            f"{describe(here())}; use fnn.numpy, which broadcasts, or lax.broadcast_in_dim"
        )
    return out


def _unary(primitive: Primitive, doc: str) -> Callable[[Any], Array]:
    def function(x: Any) -> Array:
        return primitive(as_array(x))

    return _named(function, primitive, f"{doc}\n\n    x: an array or a number.")


def _binary(primitive: Primitive, doc: str) -> Callable[[Any, Any], Array]:
    name = primitive.name

    def function(x: Any, y: Any) -> Array:
        return primitive(*operands(name, x, y, spread=True))

    return _named(function, primitive, f"{doc}\n\n{_PAIR}")


_PAIR = """    x, y: arrays or numbers of one dtype; scalars, or of equally many axes, those of size 1 being repeated."""


def _extreme(
    primitive: Primitive, wins: Primitive, on_bools: Primitive, doc: str
) -> Callable[[Any, Any], Array]:
    name, ordered = primitive.name, extreme_by(primitive, wins)

    def function(x: Any, y: Any) -> Array:
        x, y = operands(name, x, y, spread=True)
        return on_bools(x, y) if dtypes.is_bool(x.dtype) else ordered(x, y)

    return _named(
        function, primitive, f"{doc} Complex numbers are ordered by their real parts first.\n\n{_PAIR}"
    )


def _named(function: Any, primitive: Primitive, doc: str) -> Any:
    function.__name__ = function.__qualname__ = _JAX_NAMES.get(primitive.name, primitive.name)
    function.__doc__ = doc
    return function


_JAX_NAMES = {"and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor", "not": "bitwise_not"}

add = _binary(P.add, "x + y.")
sub = _binary(P.sub, "x - y.")
mul = _binary(P.mul, "x * y.")
div = _binary(P.div, "x / y; integers are divided towards zero.")
rem = _binary(P.rem, "The remainder of x / y, with the sign of x.")
max = _extreme(P.max, P.gt, P.or_, "The larger of x and y; NaN if either is.")
min = _extreme(P.min, P.lt, P.and_, "The smaller of x and y; NaN if either is.")
atan2 = _binary(P.atan2, "The angle of the point (y, x), from -pi to pi.")
nextafter = _binary(P.nextafter, "The next number after x in the direction of y.")
neg = _unary(P.neg, "-x.")
abs = _unary(P.abs, "The absolute value; the modulus of complex numbers.")
floor = _unary(P.floor, "The largest whole number that is not above x.")
ceil = _unary(P.ceil, "The smallest whole number that is not below x.")
is_finite = _unary(P.is_finite, "Neither infinite nor NaN.")
exp = _unary(P.exp, "e to the power of x.")
exp2 = _unary(P.exp2, "2 to the power of x.")
expm1 = _unary(P.expm1, "exp(x) - 1, exact near 0.")
log = _unary(P.log, "The natural logarithm.")
log1p = _unary(P.log1p, "log(1 + x), exact near 0.")
sqrt = _unary(P.sqrt, "The square root.")
rsqrt = _unary(P.rsqrt, "1 / sqrt(x).")
cbrt = _unary(P.cbrt, "The cube root.")
sin = _unary(P.sin, "The sine.")
cos = _unary(P.cos, "The cosine.")
tan = _unary(P.tan, "The tangent.")
asin = _unary(P.asin, "The inverse sine.")
acos = _unary(P.acos, "The inverse cosine.")
atan = _unary(P.atan, "The inverse tangent.")
sinh = _unary(P.sinh, "The hyperbolic sine.")
cosh = _unary(P.cosh, "The hyperbolic cosine.")
tanh = _unary(P.tanh, "The hyperbolic tangent.")
asinh = _unary(P.asinh, "The inverse hyperbolic sine.")
acosh = _unary(P.acosh, "The inverse hyperbolic cosine.")
atanh = _unary(P.atanh, "The inverse hyperbolic tangent.")
logistic = _unary(P.logistic, "1 / (1 + exp(-x)).")
erf = _unary(P.erf, "The error function.")
erfc = _unary(P.erfc, "1 - erf(x), exact where erf is near 1.")
erf_inv = _unary(P.erf_inv, "The inverse of erf.")
lgamma = _unary(P.lgamma, "The logarithm of the absolute value of the gamma function.")
digamma = _unary(P.digamma, "The derivative of lgamma.")
bessel_i0e = _unary(P.bessel_i0e, "exp(-abs(x)) times the modified Bessel function of order 0.")
bessel_i1e = _unary(P.bessel_i1e, "exp(-abs(x)) times the modified Bessel function of order 1.")
igamma = _binary(P.igamma, "The regularised lower incomplete gamma function of x = a at y.")
igammac = _binary(P.igammac, "1 - igamma, exact where it is small.")
igamma_grad_a = _binary(P.igamma_grad_a, "The derivative of igamma in its first argument.")
random_gamma_grad = _binary(P.random_gamma_grad, "How a gamma variate y grows with its shape parameter x.")
zeta = _binary(P.zeta, "The Hurwitz zeta function: the sum of (y + k)^-x over k >= 0.")
square = _unary(P.square, "x * x.")
population_count = _unary(P.population_count, "The number of one bits.")
clz = _unary(P.clz, "The number of leading zero bits.")
bitwise_not = _unary(P.not_, "Every bit, or truth value, inverted.")
bitwise_and = _binary(P.and_, "Bits, or truth values, set in both.")
bitwise_or = _binary(P.or_, "Bits, or truth values, set in either.")
bitwise_xor = _binary(P.xor, "Bits, or truth values, set in exactly one.")
shift_left = _binary(P.shift_left, "x shifted left by y bits; 0 beyond the width.")
shift_right_logical = _binary(P.shift_right_logical, "x shifted right by y bits, zeros coming in.")
shift_right_arithmetic = _binary(P.shift_right_arithmetic, "x shifted right by y bits, the sign coming in.")
eq = _binary(P.eq, "x == y.")
ne = _binary(P.ne, "x != y.")
lt = _binary(P.lt, "x < y.")
le = _binary(P.le, "x <= y.")
gt = _binary(P.gt, "x > y.")
ge = _binary(P.ge, "x >= y.")


_MAX, _MIN = max, min  # whose names are arguments of `clamp`


def sign(x: Any) -> Array:
    """-1, 0 or 1; NaN for NaN; x / |x| of complex numbers, 0 of 0.

    x: an array or a number."""
    x = as_array(x)
    return UNARY["sign"](x) if dtypes.is_complex(x.dtype) else P.sign(x)


def complex(real: Any, imag: Any) -> Array:
    """real + i imag, of float32 or float64 parts.

    real, imag: arrays or numbers of one dtype, of equal shapes or scalar.

    >>> from fnn import lax
    >>> print(lax.complex(1.0, -2.0))
    (1-2j)
    """
    parts = operands("complex", real, imag, spread=True)
    shape = np.broadcast_shapes(*[p.shape for p in parts])
    return P.complex(*[p if p.shape == shape else P.broadcast(p, shape=shape, axes=()) for p in parts])


real = _unary(P.real, "The real part of complex numbers.")
imag = _unary(P.imag, "The imaginary part of complex numbers.")


def conj(x: Any) -> Array:
    """The complex conjugate; real numbers become complex.

    x: an array or a number."""
    x = as_array(x)
    return P.conj(x if dtypes.is_complex(x.dtype) else P.convert(x, dtype=dtypes.complex_of(x.dtype)))


def pow(x: Any, y: Any) -> Array:
    """x to the power of y; y may be an integer where x is floating point."""
    x, y = as_array(x), as_array(y)
    if x.aval.is_inexact and y.dtype.kind in "iu":
        return P.pow(x, P.convert(y, dtype=x.dtype))
    return P.pow(*operands("pow", x, y, spread=True))


def integer_pow(x: Any, y: int) -> Array:
    """x to the power of a Python integer, by repeated multiplication."""
    return P.integer_pow(as_array(x), n=int(y))


class RoundingMethod(enum.IntEnum):
    """Where `round` takes halves to."""

    AWAY_FROM_ZERO = 0
    TO_NEAREST_EVEN = 1


def round(x: Any, rounding_method: RoundingMethod = RoundingMethod.AWAY_FROM_ZERO) -> Array:
    """The nearest whole number; halves go away from zero, or to the even one."""
    method = RoundingMethod(rounding_method)
    return P.round(as_array(x), method="nearest_even" if method is RoundingMethod.TO_NEAREST_EVEN else "away")


def clamp(min: Any, x: Any, max: Any) -> Array:
    """x limited to [min, max], which are scalars or of x's shape."""
    low, x, high = operands("clamp", min, x, max)
    if x.dtype.kind in "bc":
        return _MIN(_MAX(low, x), high)
    return P.clamp(low, x, high)


def select(pred: Any, on_true: Any, on_false: Any) -> Array:
    """on_true where pred, else on_false; pred is a bool array of their shape or a scalar."""
    which = as_array(pred)
    if which.dtype == np.int32:
        return select_n(which, on_false, on_true)
    if which.dtype.kind != "b":
        raise DtypeError(f"lax.select needs a bool predicate, not {which.aval}, at {describe(here())}")
    return P.select(which, *operands("select", on_true, on_false))


def select_n(which: Any, *cases: Any) -> Array:
    """cases[which], element by element; which is bool (two cases) or int32."""
    index, xs = as_array(which), operands("select_n", *cases)
    if index.dtype.kind == "b":
        if len(xs) > 2:
            raise DtypeError("lax.select_n: a bool chooses between two cases; use an int32")
        return P.select(index, xs[1], xs[0]) if len(xs) == 2 else xs[0]
    out = xs[-1]
    for i in range(len(xs) - 2, -1, -1):
        out = P.select(P.le(index, np.asarray(i, index.dtype)), xs[i], out)
    return out


def convert_element_type(operand: Any, new_dtype: Any) -> Array:
    """operand as another dtype."""
    explicit = not any(new_dtype is kind for kind in (int, float, builtins.complex))
    dtype = dtypes.canonicalize(new_dtype, explicit=explicit)
    if type(operand) is int and dtypes.is_integer(dtype):
        return from_numpy(np.asarray(operand).astype(dtype), dtype)
    x = as_array(operand)
    return x if x.dtype == dtype and not x.weak_type else P.convert(x, dtype=dtype)


def bitcast_convert_type(operand: Any, new_dtype: Any) -> Array:
    """The same bits as another dtype; a narrower one adds a last axis, a wider one takes it away."""
    return P.bitcast(as_array(operand), dtype=dtypes.canonicalize(new_dtype, explicit=True))


def stop_gradient(x: Any) -> Any:
    """x, a pytree, as a constant to differentiation."""

    def one(leaf: Any) -> Any:
        leaf = as_array(leaf)
        return P.stop_gradient(leaf) if leaf.aval.is_inexact else leaf

    return tree.map(one, x)


def betainc(a: Any, b: Any, x: Any) -> Array:
    """The regularised incomplete beta function."""
    return P.betainc(*operands("betainc", a, b, x, spread=True))


regularized_incomplete_beta = betainc


def polygamma(m: Any, x: Any) -> Array:
    """The m-th derivative of digamma, where m holds whole numbers above 0, as floating point; NaN of others."""
    m, x = operands("polygamma", m, x, spread=True)
    order = P.stop_gradient(m)
    odd = P.eq(P.rem(order, P.convert(2, dtype=x.dtype)), P.convert(0, dtype=x.dtype))
    size = P.mul(P.exp(P.lgamma(P.add(order, 1.0))), P.zeta(P.add(order, 1.0), x))
    whole = P.eq(order, P.floor(order))
    return P.select(whole, P.select(odd, P.neg(size), size), P.convert(np.nan, dtype=x.dtype))


def reciprocal(x: Any) -> Array:
    """1 / x."""
    x = as_array(x)
    return P.div(P.convert(1.0, dtype=x.dtype), x)


__all__ = [
    "RoundingMethod",
    "abs",
    "acos",
    "acosh",
    "add",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "bessel_i0e",
    "bessel_i1e",
    "betainc",
    "bitcast_convert_type",
    "bitwise_and",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "cbrt",
    "ceil",
    "clamp",
    "clz",
    "complex",
    "conj",
    "convert_element_type",
    "cos",
    "cosh",
    "digamma",
    "div",
    "eq",
    "erf",
    "erf_inv",
    "erfc",
    "exp",
    "exp2",
    "expm1",
    "floor",
    "ge",
    "gt",
    "igamma",
    "igamma_grad_a",
    "igammac",
    "imag",
    "integer_pow",
    "is_finite",
    "le",
    "lgamma",
    "log",
    "log1p",
    "logistic",
    "lt",
    "max",
    "min",
    "mul",
    "ne",
    "neg",
    "nextafter",
    "population_count",
    "polygamma",
    "pow",
    "random_gamma_grad",
    "real",
    "reciprocal",
    "regularized_incomplete_beta",
    "rem",
    "round",
    "rsqrt",
    "select",
    "select_n",
    "shift_left",
    "shift_right_arithmetic",
    "shift_right_logical",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "stop_gradient",
    "sub",
    "tan",
    "tanh",
    "zeta",
]
