"""exp and its kin: exp2, expm1, logistic, sinh, cosh, tanh.

All stand on e**r - 1 for |r| <= log(2)/2 after x = n log 2 + r (Cody and Waite), with minimax polynomials made for it.
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


def scaled_expm1(m: Arithmetic, x: Value, halvings: int) -> Value:
    """(e**x - 1) / 2**halvings, which is finite a little longer than e**x is.

    From 2**n (1 + r + tail) - 1, with what r's rounding left out in the tail: 2**n (1 + r) - 1 is exact where it is small.
    """
    high, rest = m.format.ln2
    n, k = m.nearest_integer(x, LOG2_E)
    near = m.fma(n, -high, x)
    r = m.fma(n, -rest, near)
    tail = m.fma(r * r, m.polynomial(r, _EXP[m.dtype]), m.fma(n, -rest, near - r))
    power = m.power_of_two(k - halvings)
    return m.fma(power, tail, m.fma(power, r, power - 0.5**halvings))


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
    least, greatest = {"f4": (-20.0, 89.5), "f8": (-40.0, 710.5)}[m.dtype]
    quarter = scaled_expm1(m, m.at_least(m.at_most(x, greatest), least), 2)
    return _unless_tiny(m, x, 4.0 * quarter)


def logistic(m: Arithmetic, x: Value) -> Value:
    """1 / (1 + e**-x), from z = e**-|x|, which cannot overflow: 1 - q or, for negative x, z - z q, with q = z / (1 + z)."""
    p, k = split_exp(m, m.at_least(-m.abs(x), EXP_RANGE[m.dtype][0]))
    z = m.scale(1.0 + p, k)
    q, whole = z / (1.0 + z), m.select(x < 0.0, z, 1.0)
    return m.fma(-whole, q, whole)


def tanh(m: Arithmetic, x: Value) -> Value:
    """-e / (2 + e) with e = e**(-2|x|) - 1; it is 1 long before that power vanishes.

    What rounding takes from the denominator d is put back: 1/d is (1 + tanh|x|) / 2.
    """
    e = scaled_expm1(m, -2.0 * m.at_most(m.abs(x), 9.1 if m.single else 19.1), 0)
    below, lost = m.exact_sum(m.const(2.0), e)
    t = e / below
    return m.copysign(m.fma(t * lost, m.fma(t, 0.5, -0.5), t), x)


def sinh(m: Arithmetic, x: Value) -> Value:
    """e - e q with e = e**|x| - 1 and q = e / (e + 1) / 2."""
    quarter = scaled_expm1(m, m.at_most(m.abs(x), 89.5 if m.single else 710.5), 2)
    q = 0.5 * quarter / (quarter + 0.25)
    return _unless_tiny(m, x, m.copysign(4.0 * m.fma(-quarter, q, quarter), x))


def cosh(m: Arithmetic, x: Value) -> Value:
    """(e + 1 / e) / 2 with e = e**|x|."""
    p, k = split_exp(m, m.at_most(m.abs(x), 89.5 if m.single else 710.5))
    quarter = m.power_of_two(k - 2)
    e = m.fma(quarter, p, quarter)
    return 2.0 * (e + 0.0625 / e)


def _unless_tiny(m: Arithmetic, x: Value, result: Value) -> Value:
    """x itself where it is so small that x**2 does not count: a quarter of it might be denormal."""
    return m.select(m.abs(x) < (1e-8 if m.single else 1e-17), x, result)
