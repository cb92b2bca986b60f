"""log and exp of f8 to the precision of f4's results: what f4's functions are made of where f4 itself would
not do."""

from __future__ import annotations

from fnn.kernels.loops import Value
from fnn.kernels.math_arithmetic import Arithmetic
from fnn.kernels.math_exponential import EXP_RANGE, LOG2_E
from fnn.kernels.math_logarithm import split_exponent, unbiased

# (log((1 + s) / (1 - s)) - 2 s) / s**3, in s**2, to 2**-37
_ATANH = (0.6666666564106913, 0.4000033625602655, 0.28537235497960045, 0.23583634662016678)
# (e**r - 1 - r) / r**2, to 2**-31
_EXP = (
    0.500000001367388, 0.1666666675782522, 0.04166646285613953, 0.008333285527924875, 0.0013933879087488139,
    0.0001990792004748636,
)  # fmt: skip


def wide_of(m: Arithmetic, x: Value) -> tuple[Arithmetic, Value]:
    """The arithmetic of f8, and the value in it."""
    wide = Arithmetic(m.builder, "f8")
    return wide, m.builder.cast(x, "f8")


def narrow_of(m: Arithmetic, x: Value) -> Value:
    """The value in m's arithmetic."""
    return m.builder.cast(x, m.dtype)


def short_log(m: Arithmetic, x: Value) -> Value:
    """log of a positive normal f8."""
    one_f, exponent = split_exponent(m, x)
    s = (one_f - 1.0) / (one_f + 1.0)
    z = s * s
    return m.fma(unbiased(m, exponent), m.format.ln2[0], m.fma(s * z, m.polynomial(z, _ATANH), 2.0 * s))


def short_exp(m: Arithmetic, x: Value) -> Value:
    """e**x, cut off where it is 0 or infinite as f4."""
    least, greatest = EXP_RANGE["f4"]
    x = m.at_least(m.at_most(x, greatest), least)
    n, k = m.nearest_integer(x, LOG2_E)
    r = m.fma(n, -m.format.ln2[0], x)
    return (m.fma(r * r, m.polynomial(r, _EXP), r) + 1.0) * m.power_of_two(k)
