"""Operations element by element: shapes are equal or scalar, dtypes are equal but for Python numbers and weak types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fnn import dtypes, tree
from fnn import primitives as P
from fnn.core.array import Array, as_array
from fnn.core.primitive import Primitive
from fnn.core.source import describe, here
from fnn.errors import DtypeError, ShapeError


def operands(name: str, *xs: Any) -> list[Array]:
    """Arrays of one dtype: weak ones take the dtype of the others; DtypeError where strong ones differ."""
    arrays = [as_array(x) for x in xs]
    strong = {a.dtype for a in arrays if not a.weak_type}
    if len(strong) > 1:
        raise DtypeError(f"lax.{name} needs operands of one dtype, got {', '.join(str(a.aval) for a in arrays)}, at "
                         f"{describe(here())}; convert one (.astype), or use the function of fnn.numpy, which promotes")
    dtype, _ = dtypes.result([a.aval for a in arrays])
    out = [a if a.dtype == dtype else P.convert(a, dtype=dtype) for a in arrays]
    shapes = {a.shape for a in out if a.shape}
    if len(shapes) > 1:
        raise ShapeError(f"lax.{name} needs operands of one shape (or scalars), got {', '.join(map(str, shapes))}, at "
                         f"{describe(here())}; use fnn.numpy, which broadcasts, or lax.broadcast_in_dim")
    return out


def _wrap(name: str, primitive: Primitive, doc: str) -> Callable[..., Array]:
    def function(*xs: Any) -> Array:
        return primitive(*operands(name, *xs))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{doc}\n\n    Operands are arrays or numbers of one dtype, of equal shapes or scalar."
    return function


_TABLE: dict[str, tuple[Primitive, str]] = {
    "add": (P.add, "x + y."),
    "sub": (P.sub, "x - y."),
    "mul": (P.mul, "x * y."),
    "div": (P.div, "x / y; integers are divided towards zero."),
    "rem": (P.rem, "The remainder of x / y, with the sign of x."),
    "max": (P.max, "The larger of x and y; NaN if either is."),
    "min": (P.min, "The smaller of x and y; NaN if either is."),
    "atan2": (P.atan2, "The angle of the point (y, x), from -pi to pi."),
    "nextafter": (P.nextafter, "The next number after x in the direction of y."),
    "neg": (P.neg, "-x."),
    "abs": (P.abs, "The absolute value."),
    "sign": (P.sign, "-1, 0 or 1; NaN for NaN."),
    "floor": (P.floor, "The largest whole number that is not above x."),
    "ceil": (P.ceil, "The smallest whole number that is not below x."),
    "is_finite": (P.is_finite, "Neither infinite nor NaN."),
    "exp": (P.exp, "e to the power of x."),
    "exp2": (P.exp2, "2 to the power of x."),
    "expm1": (P.expm1, "exp(x) - 1, exact near 0."),
    "log": (P.log, "The natural logarithm."),
    "log1p": (P.log1p, "log(1 + x), exact near 0."),
    "sqrt": (P.sqrt, "The square root."),
    "rsqrt": (P.rsqrt, "1 / sqrt(x)."),
    "cbrt": (P.cbrt, "The cube root."),
    "sin": (P.sin, "The sine."),
    "cos": (P.cos, "The cosine."),
    "tan": (P.tan, "The tangent."),
    "asin": (P.asin, "The inverse sine."),
    "acos": (P.acos, "The inverse cosine."),
    "atan": (P.atan, "The inverse tangent."),
    "sinh": (P.sinh, "The hyperbolic sine."),
    "cosh": (P.cosh, "The hyperbolic cosine."),
    "tanh": (P.tanh, "The hyperbolic tangent."),
    "asinh": (P.asinh, "The inverse hyperbolic sine."),
    "acosh": (P.acosh, "The inverse hyperbolic cosine."),
    "atanh": (P.atanh, "The inverse hyperbolic tangent."),
    "logistic": (P.logistic, "1 / (1 + exp(-x))."),
    "erf": (P.erf, "The error function."),
    "erfc": (P.erfc, "1 - erf(x), exact where erf is near 1."),
    "erf_inv": (P.erf_inv, "The inverse of erf."),
    "lgamma": (P.lgamma, "The logarithm of the absolute value of the gamma function."),
    "digamma": (P.digamma, "The derivative of lgamma."),
    "square": (P.square, "x * x."),
    "population_count": (P.population_count, "The number of one bits."),
    "clz": (P.clz, "The number of leading zero bits."),
    "bitwise_not": (P.not_, "Every bit, or truth value, inverted."),
    "bitwise_and": (P.and_, "Bits, or truth values, set in both."),
    "bitwise_or": (P.or_, "Bits, or truth values, set in either."),
    "bitwise_xor": (P.xor, "Bits, or truth values, set in exactly one."),
    "shift_left": (P.shift_left, "x shifted left by y bits; 0 beyond the width."),
    "shift_right_logical": (P.shift_right_logical, "x shifted right by y bits, zeros coming in."),
    "shift_right_arithmetic": (P.shift_right_arithmetic, "x shifted right by y bits, the sign coming in."),
    "eq": (P.eq, "x == y."),
    "ne": (P.ne, "x != y."),
    "lt": (P.lt, "x < y."),
    "le": (P.le, "x <= y."),
    "gt": (P.gt, "x > y."),
    "ge": (P.ge, "x >= y."),
}
globals().update({_name: _wrap(_name, *_row) for _name, _row in _TABLE.items()})


def pow(x: Any, y: Any) -> Array:  # noqa: A001  # the field's name
    """x to the power of y; y may be an integer where x is floating point."""
    x, y = as_array(x), as_array(y)
    if x.aval.is_float and y.dtype.kind in "iu":
        return P.pow(x, P.convert(y, dtype=x.dtype))
    return P.pow(*operands("pow", x, y))


def integer_pow(x: Any, y: int) -> Array:
    """x to the power of a Python integer, by repeated multiplication."""
    return P.integer_pow(as_array(x), n=int(y))


def round(x: Any, rounding_method: Any = 0) -> Array:  # noqa: A001  # the field's name
    """The nearest whole number; halves away from zero (0), or to the even one (1)."""
    return P.round(as_array(x), method="nearest_even" if int(rounding_method) == 1 else "away")


def clamp(min: Any, x: Any, max: Any) -> Array:  # noqa: A002  # JAX's argument names
    """x limited to [min, max], which are scalars or of x's shape."""
    return P.clamp(*operands("clamp", min, x, max))


def select(pred: Any, on_true: Any, on_false: Any) -> Array:
    """on_true where pred, else on_false; pred is a bool array of their shape or a scalar."""
    which = as_array(pred)
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
    x, dtype = as_array(operand), dtypes.canonicalize(new_dtype, explicit=new_dtype not in (int, float))
    return x if x.dtype == dtype and not x.weak_type else P.convert(x, dtype=dtype)


def bitcast_convert_type(operand: Any, new_dtype: Any) -> Array:
    """The same bits as another dtype; a narrower one adds a last axis, a wider one takes it away."""
    return P.bitcast(as_array(operand), dtype=dtypes.canonicalize(new_dtype, explicit=True))


def stop_gradient(x: Any) -> Any:
    """x, a pytree, as a constant to differentiation."""

    def one(leaf: Any) -> Any:
        leaf = as_array(leaf)
        return P.stop_gradient(leaf) if leaf.aval.is_float else leaf

    return tree.map(one, x)


def reciprocal(x: Any) -> Array:
    """1 / x."""
    x = as_array(x)
    return P.div(P.convert(1.0, dtype=x.dtype), x)
