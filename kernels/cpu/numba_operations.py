"""What the names in kernels printed as Python mean: definitions that run in the interpreter and compile with
Numba.

Numba itself is imported only by `numba_scope`.  Types are NumPy's scalars; they have the meaning that `loops`
gives the operations: integers wrap, no division or shift is undefined, conversions to integers saturate."""

from __future__ import annotations

import builtins
import functools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

INTEGERS = {
    "int8": np.int8, "int16": np.int16, "int32": np.int32, "int64": np.int64,
    "uint8": np.uint8, "uint16": np.uint16, "uint32": np.uint32, "uint64": np.uint64,
}  # fmt: skip
TYPES: dict[str, Any] = {**INTEGERS, "float32": np.float32, "float64": np.float64}
# Functions that math and NumPy both have; NumPy's are for the interpreter, where math's raise errors.
_BOTH = (
    "exp",
    "expm1",
    "log",
    "log1p",
    "log2",
    "sin",
    "cos",
    "tan",
    "sinh",
    "cosh",
    "tanh",
    "sqrt",
    "copysign",
)
_ARCS = ("asin", "acos", "atan", "atan2", "asinh", "acosh", "atanh")
float32, uint16, uint32 = np.float32, np.uint16, np.uint32


def _integer_functions(name: str) -> dict[str, Callable[..., Any]]:
    """Division, shifts, conversion and counts of one integer type."""
    T: Any = INTEGERS[name]
    bits, signed = 8 * T(0).itemsize, name[0] == "i"
    least, most = np.iinfo(T).min, np.iinfo(T).max
    lower, upper = float(least), float(most) + (1.0 if bits < 64 else 0.0)  # float(2**63 - 1) is 2**63
    least, most, zero, one, ones = T(least), T(most), T(0), T(1), T(-1 if signed else most)
    last = T(bits - 1)

    def divide(a, b):
        if b == zero:
            return ones
        if signed and b == ones:
            return T(zero - a)
        quotient = T(a // b)
        if signed and T(quotient * b) != a and (a < zero) != (b < zero):
            return T(quotient + one)
        return quotient

    def remainder(a, b):
        if b == zero:
            return T(a)
        if signed and b == ones:
            return zero
        rest = T(a % b)
        if signed and rest != zero and (a < zero) != (b < zero):
            return T(rest - b)
        return rest

    def shift_left(a, b):
        return T(a << b) if zero <= b <= last else zero

    def shift_right(a, b):
        if zero <= b <= last:
            return T(a >> b)
        return ones if signed and a < zero else zero

    def saturate(x):
        if x != x:
            return zero
        if x <= lower:
            return least
        if x >= upper:
            return most
        return T(x)

    def popcount(x):
        count = zero
        for k in range(bits):
            if (x >> T(k)) & one != zero:
                count = T(count + one)
        return count

    def clz(x):
        for k in range(bits):
            if (x >> T(bits - 1 - k)) & one != zero:
                return T(k)
        return T(bits)

    functions = (divide, remainder, shift_left, shift_right, saturate, popcount, clz)
    return {f"{f.__name__}_{name}": f for f in functions}


def from_bf(x):
    """float32 of the bits of a bfloat16."""
    return uint32(uint32(x) << uint32(16)).view(float32)


def to_bf(x):
    """The bits of the nearest bfloat16, ties to even."""
    bits = float32(x).view(uint32)
    high = uint32(bits >> uint32(16))
    if x != x:
        return uint16(high | uint32(0x40))
    return uint16(uint32(bits + uint32(0x7FFF) + (high & uint32(1))) >> uint32(16))


def from_f2(x):
    """float32 of the bits of a float16."""
    sign = uint32((uint32(x) & uint32(0x8000)) << uint32(16))
    rest = uint32(uint32(x) & uint32(0x7FFF))
    if rest >= uint32(0x7C00):
        bits = uint32(uint32(0x7F800000) | uint32((rest & uint32(0x3FF)) << uint32(13)))
    elif rest >= uint32(0x400):
        bits = uint32(uint32(rest << uint32(13)) + uint32(0x38000000))
    else:
        bits = float32(float32(rest) * float32(2.0**-24)).view(uint32)
    return uint32(sign | bits).view(float32)


def to_f2(x):
    """The bits of the nearest float16, ties to even."""
    bits = float32(x).view(uint32)
    sign = uint32((bits >> uint32(16)) & uint32(0x8000))
    rest = uint32(bits & uint32(0x7FFFFFFF))
    if x != x:
        return uint16(sign | uint32(0x7E00) | ((rest >> uint32(13)) & uint32(0x3FF)))
    if rest >= uint32(0x477FF000):  # 65520, halfway from the greatest to what would be the next
        return uint16(sign | uint32(0x7C00))
    if rest < uint32(0x38800000):  # below 2**-14: steps of 2**-24
        return uint16(sign | uint32(np.rint(float32(rest.view(float32) * float32(2.0**24)))))
    odd = uint32((rest >> uint32(13)) & uint32(1))
    return uint16(sign | uint32(uint32(rest - uint32(0x38000000) + uint32(0xFFF) + odd) >> uint32(13)))


CONVERSIONS: dict[str, Callable[..., Any]] = {
    "from_bf": from_bf,
    "to_bf": to_bf,
    "from_f2": from_f2,
    "to_f2": to_f2,
}


@functools.cache
def integer_functions() -> dict[str, Callable[..., Any]]:
    """All of them, by the names that kernels call them by."""
    return {name: f for kind in INTEGERS for name, f in _integer_functions(kind).items()}


def _fma(x, y, z):
    """x y + z, rounded once."""
    if x.dtype == np.float32:
        # the product of two float32 is exact; the sum is rounded to odd, so that rounding it again is right
        product = np.float64(x) * np.float64(y)
        total = product + np.float64(z)
        if np.isfinite(total):
            part = total - product
            error = (product - (total - part)) + (np.float64(z) - part)
            if error != 0 and not total.view(np.int64) & 1:
                total = np.nextafter(total, np.inf if error > 0 else -np.inf)
        return np.float32(total)
    if not (np.isfinite(x) and np.isfinite(y) and np.isfinite(z)) or x * y + z == 0:
        return x * y + z
    exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
    try:
        return np.float64(float(exact))
    except OverflowError:
        return np.float64(math.copysign(math.inf, exact))


def interpreter_scope() -> dict[str, Any]:
    """The names for the interpreter. Run kernels under `np.errstate(all="ignore")`."""
    scope: dict[str, Any] = {**TYPES, **integer_functions(), **CONVERSIONS, "fma": _fma}
    for name in (*_BOTH, "floor", "ceil", "trunc", "rint", "fmod", "power"):
        scope[name] = getattr(np, name)
    for name in _ARCS:
        scope[name] = getattr(np, name.replace("a", "arc", 1))
    # indices are int64 here as they are when compiled
    scope["range"] = lambda *bounds: (np.int64(i) for i in builtins.range(*bounds))
    scope.update({f"local_{name}": functools.partial(np.empty, dtype=T) for name, T in TYPES.items()})
    scope.update(erf=math.erf, erfc=math.erfc, inf=math.inf, nan=math.nan)
    return scope


@functools.cache
def _numba_functions() -> dict[str, Any]:
    """What takes Numba to say: helpers that it compiles, and operations that are single instructions."""
    import llvmlite.ir as ir
    import numba
    from numba.extending import intrinsic, register_jitable

    @intrinsic
    def fma(typing, x, y, z):
        def write(context, builder, signature, args):
            return builder.fma(*args)

        return x(x, x, x), write

    def local(kind: Any) -> Any:
        @intrinsic(prefer_literal=True)
        def reserve(typing, length):
            result = numba.types.CPointer(numba.from_dtype(np.dtype(kind)))

            def write(context, builder, signature, args):
                element = context.get_data_type(result.dtype)
                with builder.goto_entry_block():
                    memory = builder.alloca(ir.ArrayType(element, length.literal_value))
                    memory.align = 64
                return builder.bitcast(memory, element.as_pointer())

            return result(length), write

        return reserve

    scope: dict[str, Any] = {
        name: register_jitable(f) for name, f in {**integer_functions(), **CONVERSIONS}.items()
    }
    scope.update({f"local_{name}": local(T) for name, T in TYPES.items()}, fma=fma)
    return scope


def numba_scope() -> dict[str, Any]:
    """The names for Numba's compiler."""
    scope: dict[str, Any] = {**TYPES, **_numba_functions()}
    for name in (*_BOTH, *_ARCS, "erf", "erfc"):
        scope[name] = getattr(math, name)
    for name in ("floor", "ceil", "trunc", "rint", "fmod"):  # math's give integers, or are not there
        scope[name] = getattr(np, name)
    scope.update(power=math.pow, inf=math.inf, nan=math.nan)
    return scope
