"""What the expansions in `fnn.kernels.mathematics` are written with: a number format's constants and a few
idioms.

An `Arithmetic` records operations on values of one floating-point type, through a Builder that rounds each of
them as written. Integers that stand for the bits of a number are unsigned and as wide as it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from fnn.kernels.loops import Builder, Operand, Value
from fnn.records import record


@record(frozen=True)
class Format:
    """A binary floating-point format. `ln2` is log 2 as an unevaluated sum of two of its numbers."""

    bits: str
    fraction: int  # bits of the significand that are stored
    bias: int
    largest: float
    ln2: tuple[float, float]

    @property
    def tiny(self) -> float:
        """The least normal number."""
        return math.ldexp(1.0, 1 - self.bias)

    @property
    def one_bits(self) -> int:
        """The bits of 1."""
        return self.bias << self.fraction

    @property
    def magic(self) -> float:
        """Adding 1.5 * 2**fraction leaves the nearest integer in the low bits of the sum."""
        return math.ldexp(1.5, self.fraction)

    @property
    def magic_bits(self) -> int:
        return ((self.bias + self.fraction) << self.fraction) | 1 << (self.fraction - 1)


FORMATS = {
    "f4": Format("u4", 23, 127, 3.4028234663852886e38, (0.693147182464599609375, -1.904654323148236017e-9)),
    "f8": Format("u8", 52, 1023, 1.7976931348623157e308, (0.6931471805599453094, 2.3190468138462996e-17)),
}


class Arithmetic:
    """Operations of one floating-point type."""

    def __init__(self, builder: Builder, dtype: str):
        self.builder, self.dtype, self.format = builder, dtype, FORMATS[dtype]
        self.single = dtype == "f4"

    # -- operations
    def const(self, value: float) -> Value:
        return self.builder.const(value, self.dtype)

    def fma(self, x: Operand, y: Operand, z: Operand) -> Value:
        """x * y + z, rounded once."""
        return self.builder.op("fma", x, y, z)

    def sqrt(self, x: Value) -> Value:
        return self.builder.op("sqrt", x)

    def abs(self, x: Value) -> Value:
        return self.builder.op("abs", x)

    def rint(self, x: Value) -> Value:
        return self.builder.op("rint", x)

    def copysign(self, x: Operand, sign: Value) -> Value:
        if not isinstance(x, Value):
            x = self.const(x)
        return self.builder.op("copysign", x, sign)

    def select(self, condition: Value, yes: Operand, no: Operand) -> Value:
        if not isinstance(yes, Value) and not isinstance(no, Value):
            yes = self.const(yes)
        return self.builder.select(condition, yes, no)

    def at_most(self, x: Value, bound: float) -> Value:
        """The smaller of the two; NaN stays NaN (one instruction on most machines, unlike `min`)."""
        return self.builder.select(x > bound, bound, x)

    def at_least(self, x: Value, bound: float) -> Value:
        """The greater of the two; NaN stays NaN."""
        return self.builder.select(x < bound, bound, x)

    def is_nan(self, x: Value) -> Value:
        return x.ne(x)

    # -- bits
    def to_bits(self, x: Value) -> Value:
        return self.builder.bitcast(x, self.format.bits)

    def from_bits(self, bits: Value) -> Value:
        return self.builder.bitcast(bits, self.dtype)

    def is_negative(self, x: Value) -> Value:
        """Whether the sign bit is set: it is in -0."""
        return self.to_bits(x) > (1 << (8 * int(self.dtype[1]) - 1)) - 1

    def is_positive_normal(self, x: Value) -> Value:
        """Whether x is positive, finite and not denormal: one comparison of its bits."""
        least = 1 << self.format.fraction
        infinite = (2 * self.format.bias + 1) << self.format.fraction
        return self.to_bits(x) - least < infinite - least

    def flip_sign(self, x: Value, when: Value) -> Value:
        return self.select(when, -x, x)

    def nearest_integer(self, x: Value, factor: Operand) -> tuple[Value, Value]:
        """The integer nearest to x * factor, as a number and in the low bits of an unsigned integer, for
        |x * factor| < 2**(fraction - 1)."""
        shifted = self.fma(x, factor, self.format.magic)
        return shifted - self.format.magic, self.to_bits(shifted)

    def power_of_two(self, k: Value) -> Value:
        """2**k for an integer of which only the low bits count, 1 - bias <= k <= bias."""
        return self.from_bits((k << self.format.fraction) + self.format.one_bits)

    def scale(self, x: Value, k: Value) -> Value:
        """x * 2**k, rounded once, for an integer k as `nearest_integer` gives it, whose half is in the
        exponents' range."""
        half = k >> 1
        return x * self.power_of_two(half) * self.power_of_two(k - half)

    # -- idioms
    def polynomial(self, x: Value, coefficients: Sequence[Operand]) -> Value:
        """c[0] + c[1] x + c[2] x**2 + ... by Horner's scheme; a long one in two interleaved halves, of which
        each waits only half as long for its own results."""
        c = list(coefficients)
        if len(c) <= 9:
            return self.horner(x, c)
        square = x * x
        return self.fma(self.horner(square, c[1::2]), x, self.horner(square, c[::2]))

    def horner(self, x: Value, coefficients: Sequence[Operand]) -> Value:
        *rest, first = coefficients
        result = first if isinstance(first, Value) else self.const(first)
        for c in reversed(rest):
            result = self.fma(result, x, c)
        return result

    def polynomial_pair(
        self, x: Value, coefficients: Sequence[Operand], first_low: Operand
    ) -> tuple[Value, Value]:
        """The same, and what its last step's rounding left out, for results between half of c[0] and twice
        it; first_low is what the format's rounding left out of c[0]."""
        first, second, *rest = coefficients
        tail = self.fma(x, self.polynomial(x, rest), second)
        high = self.fma(x, tail, first)
        return high, self.fma(x, tail, first - high) + first_low

    def exact_product(self, x: Value, y: Operand) -> tuple[Value, Value]:
        """The product, and what its rounding left out."""
        high = x * y
        return high, self.fma(x, y, -high)

    def exact_sum(self, x: Value, y: Operand) -> tuple[Value, Value]:
        """The sum, and what its rounding left out, for |x| >= |y| (Dekker)."""
        high = x + y
        return high, y - (high - x)

    def unordered_sum(self, x: Value, y: Operand) -> tuple[Value, Value]:
        """The sum, and what its rounding left out (Knuth)."""
        high = x + y
        other = high - x
        return high, (x - (high - other)) + (y - other)

    def rarely(
        self, condition: Value, usual: Sequence[Value], otherwise: Callable[[], Sequence[Value]]
    ) -> list[Value]:
        """The usual values, except where the condition holds: there those that `otherwise` records, which may
        be slow (see `Builder.rarely`)."""
        return self._choose(self.builder.rarely, condition, usual, otherwise)

    def where_needed(
        self, condition: Value, usual: Sequence[Value], otherwise: Callable[[], Sequence[Value]]
    ) -> list[Value]:
        """The same, as fast as any other: a printer branches around it where no lane needs it."""
        return self._choose(self.builder.when, condition, usual, otherwise)

    def _choose(
        self,
        branch: Callable[[Value], AbstractContextManager[None]],
        condition: Value,
        usual: Sequence[Value],
        otherwise: Callable[[], Sequence[Value]],
    ) -> list[Value]:
        variables = [self.builder.variable(value.dtype, value) for value in usual]
        with branch(condition):
            for variable, value in zip(variables, otherwise(), strict=True):
                variable.set(value)
        return [variable.value for variable in variables]
