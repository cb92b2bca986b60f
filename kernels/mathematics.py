"""Mathematical functions written out in arithmetic, for every printer whose target does not have them.

`expand` records one of `loops.MATHEMATICS` through a Builder: additions, products, fma, square roots, selects
and integer operations on bits, each rounded as IEEE has it. There are no tables in memory and, but for
`Arithmetic.rarely` and `where_needed`, no branches, so an expansion is as good for vectors as for GPU threads.
NaN, infinities, signed zeros and denormal numbers behave as in NumPy and SciPy.

Results are within 2 units in the last place wherever they are finite, but that beside the negative zeros of
f8's lgamma and digamma it is the absolute error that is small.
tests/test_mathematics.py measures it.
"""

from __future__ import annotations

from collections.abc import Callable

from fnn.kernels.loops import MATHEMATICS, Block, Builder, Value
from fnn.kernels.math_arithmetic import Arithmetic
from fnn.kernels.math_error_function import erf, erf_inv, erfc
from fnn.kernels.math_exponential import cosh, exp, exp2, expm1, logistic, sinh, tanh
from fnn.kernels.math_gamma import digamma, lgamma
from fnn.kernels.math_inverse_trigonometric import acos, asin, atan, atan2
from fnn.kernels.math_logarithm import acosh, asinh, atanh, log, log1p, log2
from fnn.kernels.math_power import cbrt, nextafter, pow_, rsqrt
from fnn.kernels.math_trigonometric import cos, sin, tan

_EXPANSIONS: dict[str, Callable[..., Value]] = {
    "exp": exp, "exp2": exp2, "expm1": expm1, "log": log, "log2": log2, "log1p": log1p, "sin": sin,
    "cos": cos, "tan": tan, "asin": asin, "acos": acos, "atan": atan, "atan2": atan2, "sinh": sinh,
    "cosh": cosh, "tanh": tanh, "asinh": asinh, "acosh": acosh, "atanh": atanh, "erf": erf, "erfc": erfc,
    "erf_inv": erf_inv, "lgamma": lgamma, "digamma": digamma, "pow": pow_, "cbrt": cbrt,
    "logistic": logistic, "nextafter": nextafter, "rsqrt": rsqrt,
}  # fmt: skip
_IN_F8_ONLY = ("lgamma", "digamma")  # where f4 would need so much care that f8 is cheaper
assert set(_EXPANSIONS) == set(MATHEMATICS)


def expand(b: Builder, name: str, dtype: str, args: tuple[Value, ...]) -> Value:
    """Record a function of mathematics as arithmetic.

    Args:
        b: where to record.
        name: one of `loops.MATHEMATICS`.
        dtype: "f4" or "f8", the type of the arguments and of the result.
        args: one value, or two for atan2 (y, x), pow (base, exponent) and nextafter (from, towards).

    >>> b = Builder()
    >>> x, out = b.argument("f4"), b.argument("f4", output=True)
    >>> b.store(out, 0, expand(b, "rsqrt", "f4", (b.load(x, 0),)))
    >>> print(b.program)
    arguments a0: f4, a1: f4 out
    %0 = load a0 0
    %1 = sqrt! %0
    %2 = div! 1.0 %1
    store a1 0 %2
    """
    with b.exact():
        if dtype == "f4" and name in _IN_F8_ONLY:
            wide = [b.cast(a, "f8") for a in args]
            return b.cast(_EXPANSIONS[name](Arithmetic(b, "f8"), *wide), "f4")
        return _EXPANSIONS[name](Arithmetic(b, dtype), *args)


def expansion(v: Value) -> tuple[Block, Value]:
    """The arithmetic that a recorded function consists of, as a block of its own for a printer to walk, and
    its result."""
    b = v.builder
    outer, b.block, b.in_lanes = (b.block, b.in_lanes), Block(), int(v.varying)
    try:
        result = expand(b, v.op, v.dtype, v.args)
        return b.block, result
    finally:
        b.block, b.in_lanes = outer
