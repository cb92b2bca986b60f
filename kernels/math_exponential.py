"""exp and its kin: exp2, expm1, logistic, sinh, cosh, tanh.

All stand on e**r - 1 for |r| <= log(2)/2 after x = n log 2 + r (Cody and Waite), with minimax polynomials
made for it.
"""

from __future__ import annotations

from fnn.kernels.loops import Operand, Value
from fnn.kernels.math_arithmetic import Arithmetic

LOG2_E = 1.4426950408889634
# (e**r - 1 - r) / r**2 on |r| < 0.3475
_EXP = {
    "f4": (0.5, 0.16666539, 0.0416663997, 0.00836705789, 0.00139453041),
    "f8": (
        0.5, 0.16666666666666677, 0.04166666666666667, 0.008333333333321442, 0.0013888888888877954,
        0.0001984126988663264, 2.480158734348695e-05, 2.755724364802022e-06, 2.755725441028307e-07,
        2.5109253043417107e-08, 2.0921493945072675e-09,
    ),
}  # fmt: skip
# (sinh r / r - 1) / r**2, in r**2, for r <= 1
_SINH = {
    "f4": (0.166666672, 0.00833331142, 0.000198426351, 2.78392463e-06),
    "f8": (
        0.16666666666666669, 0.008333333333332915, 0.0001984126984158925, 2.7557319108482388e-06,
        2.5052130675970144e-08, 1.6056687093390496e-10, 7.775690452150744e-13,
    ),
}  # fmt: skip
# From here on exp is infinite, or 0.
EXP_RANGE = {"f4": (-104.0, 89.0), "f8": (-746.0, 710.0)}


def reduced_expm1(m: Arithmetic, r: Value) -> Value:
    """e**r - 1 for |r| < 0.3475."""
    return m.fma(r * r, m.polynomial(r, _EXP[m.dtype]), r)


def split_exp(m: Arithmetic, x: Value, low: Operand | None = None) -> tuple[Value, Value]:
    """p and n with e**(x + low) = (1 + p) 2**n; n is an integer as `nearest_integer` gives it."""
    high, rest = m.format.ln2
    n, k = m.nearest_integer(x, LOG2_E)
    r = m.fma(n, -rest, m.fma(n, -high, x))
    return reduced_expm1(m, r if low is None else r + low), k


# log 2 in two parts, the first of so few bits that its multiples by exponents are exact
_LN2_SHORT = (6.93147180369123816490e-01, 1.90821492927058770002e-10)


def split_exp_pair(m: Arithmetic, x: Value, low: Value) -> tuple[Value, Value, Value]:
    """e and n with e**(x + low) = (e + e_low) 2**n, of f8, as e, e_low and n (see `split_exp`)."""
    high, rest = _LN2_SHORT
    n, k = m.nearest_integer(x, LOG2_E)
    r, r_low = m.unordered_sum(m.fma(n, -high, x), m.fma(n, -rest, low))
    e, e_low = m.exact_sum(m.const(1.0), r)
    more = m.fma(r * r, m.polynomial(r, _EXP[m.dtype]), r_low)
    return e, m.fma(r, r_low, more) + e_low, k


def exp(m: Arithmetic, x: Value) -> Value:
    least, greatest = EXP_RANGE[m.dtype]
    p, k = split_exp(m, m.at_least(m.at_most(x, greatest), least))
    return m.scale(1.0 + p, k)


def exp2(m: Arithmetic, x: Value) -> Value:
    least, greatest = {"f4": (-151.0, 128.5), "f8": (-1076.0, 1024.5)}[m.dtype]
    x = m.at_least(m.at_most(x, greatest), least)
    n, k = m.nearest_integer(x, 1.0)
    return m.scale(1.0 + reduced_expm1(m, (x - n) * m.format.ln2[0]), k)


def expm1(m: Arithmetic, x: Value) -> Value:
    """2**n (1 + r + tail) - 1, with what r's rounding left out in the tail: 2**n (1 + r) - 1 is exact where
    it is small.

    A quarter of the result is computed first, as 2**n alone may be infinite; x itself is the result where
    x**2 does not count, and a quarter of it might be denormal.
    """
    least, greatest = {"f4": (-20.0, 89.5), "f8": (-40.0, 710.5)}[m.dtype]
    (high, rest), inside = m.format.ln2, m.at_least(m.at_most(x, greatest), least)
    n, k = m.nearest_integer(inside, LOG2_E)
    near = m.fma(n, -high, inside)
    r = m.fma(n, -rest, near)
    tail = m.fma(r * r, m.polynomial(r, _EXP[m.dtype]), m.fma(n, -rest, near - r))
    power = m.power_of_two(k - 2)
    result = 4.0 * m.fma(power, tail, m.fma(power, r, power - 0.25))
    return m.select(m.abs(x) < (1e-8 if m.single else 1e-17), x, result)


def logistic(m: Arithmetic, x: Value) -> Value:
    """1 / (1 + e**-x), from z = e**-|x|, which cannot overflow: 1 - q or, for negative x, z - z q, with q = z
    / (1 + z)."""
    p, k = split_exp(m, m.at_least(-m.abs(x), EXP_RANGE[m.dtype][0]))
    z = m.scale(1.0 + p, k)
    q, whole = z / (1.0 + z), m.select(x < 0.0, z, 1.0)
    return m.fma(-whole, q, whole)


def tanh(m: Arithmetic, x: Value) -> Value:
    """q = e / (e + 2) with e = e**2|x| - 1. Where e is small it is e/2 (1 - q), of which q's roundings count little.

    e = 2**n (1 + r) - 1, which is exact where it is small, and 2**n times the rest; to the rest of f8 belongs what
    the roundings of r and of that sum left out."""
    a = m.abs(x)
    (high, low), twice = m.format.ln2, 2.0 * m.at_most(a, 9.1 if m.single else 19.1)
    n, k = m.nearest_integer(twice, LOG2_E)
    upper = m.fma(n, -high, twice)
    r, power = m.fma(n, -low, upper), m.power_of_two(k)
    near = power * r
    rest = m.polynomial(r, _EXP[m.dtype])
    if m.single:
        e = m.fma(near * r, rest, near + (power - 1.0))
    else:
        first, left_out = m.exact_sum(power - 1.0, near)
        left_out = m.fma(power, m.fma(n, -low, upper - r), left_out)
        e = first + m.fma(near * r, rest, left_out)
    half, q = 0.5 * e, e / (e + 2.0)
    return m.copysign(m.select(a < 0.35, m.fma(-half, q, half), q), x)


def sinh(m: Arithmetic, x: Value) -> Value:
    """(e**|x| - e**-|x|) / 2; near 0, a polynomial."""
    a = m.abs(x)
    quarter = _quarter_exp(m, a)
    outer = 2.0 * (quarter - 0.0625 / quarter)
    return m.copysign(m.select(a < 1.0, _odd_polynomial(m, a, _SINH[m.dtype]), outer), x)


def cosh(m: Arithmetic, x: Value) -> Value:
    """(e**|x| + e**-|x|) / 2."""
    quarter = _quarter_exp(m, m.abs(x))
    return 2.0 * (quarter + 0.0625 / quarter)


def _odd_polynomial(m: Arithmetic, x: Value, coefficients: tuple[float, ...]) -> Value:
    """x + x**3 (c[0] + c[1] x**2 + ...)."""
    z = x * x
    return m.fma(x * z, m.polynomial(z, coefficients), x)


def _quarter_exp(m: Arithmetic, x: Value) -> Value:
    """e**x / 4 for positive x, which is finite a little longer than e**x is."""
    p, k = split_exp(m, m.at_most(x, 89.5 if m.single else 710.5))
    power = m.power_of_two(k - 2)
    return m.fma(power, p, power)
