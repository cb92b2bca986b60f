"""Functions of single numbers written once: for NumPy's arrays, which `evaluate` computes with, and for the values of
loop programs, which become kernels.

A function written with a `Code` sees 64-bit floating numbers. It adds, multiplies and compares them with Python's
operators; what Python has no operator for is a method. A loop goes on for each element until its own test fails.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

F8 = np.dtype("float64")


class Code(Protocol):
    """What such a function is written with."""

    precision: float  # relative errors below it vanish in the rounding of the result

    def math(self, name: str, *xs: Any) -> Any:
        """exp, log, log1p, expm1, sqrt, abs, floor, lgamma, digamma, erfc, pow."""

    def select(self, condition: Any, yes: Any, no: Any) -> Any:
        """yes where the condition holds, no elsewhere; both are computed."""

    def equal(self, x: Any, y: Any) -> Any:
        """x == y."""

    def loop(
        self, start: Sequence[Any], test: Callable[..., Any], step: Callable[..., Sequence[Any]]
    ) -> Sequence[Any]:
        """state = step(*state) while test(*state), element by element. Start values are numbers of one shape."""
        ...


class Arrays:
    """NumPy's arrays as a Code."""

    precision = 0.0

    def __init__(self, shape: tuple[int, ...]):
        self.shape = shape

    def math(self, name: str, *xs: Any) -> Any:
        if name in ("lgamma", "digamma", "erfc"):
            from scipy import special

            return getattr(special, {"lgamma": "gammaln", "digamma": "psi"}.get(name, name))(*xs)
        return getattr(np, {"pow": "power"}.get(name, name))(*xs)

    def select(self, condition: Any, yes: Any, no: Any) -> Any:
        return np.where(condition, yes, no)

    def equal(self, x: Any, y: Any) -> Any:
        return np.equal(x, y)

    def loop(
        self, start: Sequence[Any], test: Callable[..., Any], step: Callable[..., Sequence[Any]]
    ) -> Sequence[Any]:
        state = [np.broadcast_to(np.asarray(x, F8), self.shape) for x in start]
        going = np.broadcast_to(test(*state), self.shape)
        while going.any():
            state = [np.where(going, new, old) for new, old in zip(step(*state), state, strict=True)]
            going = going & test(*state)
        return state


_OPERATIONS = ("sqrt", "abs", "floor")


class Lanes:
    """The values of a loop program as a Code. b: its builder; dtype: what the result is rounded to."""

    def __init__(self, b: Any, dtype: str = "f8"):
        self.b, self.precision = b, 0.0 if dtype == "f8" else 2.0**-31

    def math(self, name: str, *xs: Any) -> Any:
        return self.b.op(name, *xs) if name in _OPERATIONS else self.b.math(name, *xs)

    def _value(self, x: Any) -> Any:
        return self.b.as_value(x, "f8")

    def select(self, condition: Any, yes: Any, no: Any) -> Any:
        return self.b.select(condition, self._value(yes), no)

    def equal(self, x: Any, y: Any) -> Any:
        return self.b.op("eq", x, y)

    def loop(
        self, start: Sequence[Any], test: Callable[..., Any], step: Callable[..., Sequence[Any]]
    ) -> Sequence[Any]:
        variables = [self.b.variable("f8", x) for x in start]
        with self.b.repeat_while() as going:
            going.test(test(*[v.value for v in variables]))
            new = [self._value(x) for x in step(*[v.value for v in variables])]
            for variable, value in zip(variables, new, strict=True):
                variable.set(value)
        return [v.value for v in variables]


def expression(f: Callable[..., Any]) -> Callable[..., Any]:
    """The loop expression of f(code, *numbers): computed with 64 bits, rounded to the operands' type."""

    def write(b: Any, *xs: Any) -> Any:
        return b.cast(f(Lanes(b, xs[0].dtype), *[b.cast(x, "f8") for x in xs]), xs[0].dtype)

    return write


def evaluation(f: Callable[..., Any]) -> Callable[..., Any]:
    """The same over NumPy's arrays."""

    def run(*xs: Any) -> Any:
        wide = [np.asarray(x, F8) for x in xs]
        out = f(Arrays(np.broadcast_shapes(*[x.shape for x in wide])), *wide)
        return np.asarray(out).astype(_type_of(xs))

    return run


def scipy_function(name: str) -> Callable[..., Any]:
    """A function of scipy.special over NumPy's arrays, imported when it is first evaluated: computed with 64
    bits, as SciPy's functions for 32 bits are less exact, and rounded to the operands' type."""

    def run(*xs: Any) -> Any:
        from scipy import special

        return np.asarray(getattr(special, name)(*[np.asarray(x, F8) for x in xs])).astype(_type_of(xs))

    return run


def _type_of(xs: Sequence[Any]) -> np.dtype:
    """The type of operands of which those that are Python's numbers yield."""
    return next((x.dtype for x in xs if isinstance(x, (np.ndarray, np.generic))), F8)


def polynomial(x: Any, coefficients: Sequence[float]) -> Any:
    """c[0] + c[1] x + c[2] x**2 + ... by Horner's scheme."""
    *rest, total = coefficients
    result: Any = total
    for c in reversed(rest):
        result = result * x + c
    return result


def chebyshev(x: Any, coefficients: Sequence[float], precision: float = 0.0) -> Any:
    """c[0] + c[1] T1(x) + c[2] T2(x) + ... by Clenshaw's recurrence, for |x| <= 1. Last terms that together are less
    than `precision` of the first one are left out."""
    rest = 0.0
    while rest + abs(coefficients[-1]) < precision * abs(coefficients[0]):
        rest += abs(coefficients[-1])
        coefficients = coefficients[:-1]
    if precision:  # so few terms that their powers lose no digit that counts
        powers, square = powers_of(coefficients), x * x
        return polynomial(square, powers[::2]) + x * polynomial(square, powers[1::2])
    twice = x + x
    ahead: Any = 0.0
    one: Any = coefficients[-1]
    for c in reversed(coefficients[1:-1]):
        one, ahead = twice * one - ahead + c, one
    return x * one - ahead + coefficients[0]


def powers_of(coefficients: Sequence[float]) -> list[float]:
    """The coefficients of 1, x, x**2, ... in a series of at least two Chebyshev polynomials."""
    before, now = [1.0], [0.0, 1.0]  # T0, T1
    total = [coefficients[0], coefficients[1]]
    for c in coefficients[2:]:
        following = [0.0, *(2.0 * t for t in now)]
        before, now = now, [t - (before[k] if k < len(before) else 0.0) for k, t in enumerate(following)]
        total = [(total[k] if k < len(total) else 0.0) + c * t for k, t in enumerate(now)]
    return total


def excess_of_log1p(c: Code, x: Any) -> Any:
    """log(1 + x) - x, to full relative precision for x > -1."""
    s = x / (x + 2.0)
    square = s * s
    series = polynomial(square, [2.0 / (2 * k + 3) for k in range(18)])
    near = s * (square * series - x)
    small = c.math("abs", x) < 0.5
    return c.select(small, near, c.math("log1p", c.select(small, 0.0, x)) - x)


def stirling(x: Any) -> Any:
    """lgamma(x) - ((x - 1/2) log x - x + log(2 pi) / 2), for x >= 10 (Abramowitz and Stegun, 6.1.41)."""
    inverse = 1.0 / x
    series = polynomial(
        inverse * inverse,
        (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400),
    )
    return inverse * series


__all__ = [
    "Arrays",
    "Code",
    "Lanes",
    "chebyshev",
    "evaluation",
    "excess_of_log1p",
    "expression",
    "polynomial",
    "scipy_function",
    "stirling",
]
