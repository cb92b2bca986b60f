"""Logic of bools and of bits: and, or, xor, not, shifts, counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fnn import dtypes
from fnn.core.primitive import Primitive, Sample
from fnn.primitives.rules import elementwise

# -- logic -------------------------------------------------------------------------------------------------


def _bitwise(name: str, ufunc: np.ufunc, expr: Callable[..., Any]) -> Primitive:
    pairs: list[tuple[Any, Any]] = [
        ("b1[2,3]", "b1[2,3]"),
        ("b1[]", "b1[3]"),
        ("i4[4]", "i4[4]"),
        ("u1[4]", "u1[]"),
        ("i4[3]", 5),
        ("b1[0]", "b1[0]"),
        (True, False),
    ]
    return elementwise(name, ufunc, expr, kinds="biu", samples=lambda: [Sample(pair) for pair in pairs])


and_ = _bitwise("and", np.bitwise_and, lambda b, x, y: x & y)
or_ = _bitwise("or", np.bitwise_or, lambda b, x, y: x | y)
xor = _bitwise("xor", np.bitwise_xor, lambda b, x, y: x ^ y)
not_ = elementwise(
    "not",
    np.invert,
    lambda b, x: ~x,
    kinds="biu",
    samples=lambda: [
        Sample(("b1[2,3]",)),
        Sample(("i4[4]",)),
        Sample(("u1[]",)),
        Sample(("i4[0]",)),
        Sample((True,)),
    ],
)


def _width(x: np.ndarray) -> int:
    return 8 * x.dtype.itemsize


def _integers(x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays of one dtype: a Python number takes the other's."""
    dtype = next((a.dtype for a in (x, y) if hasattr(a, "dtype")), dtypes.default_int())
    return np.asarray(x, dtype), np.asarray(y, dtype)


def _unsigned(x: np.ndarray) -> np.ndarray:
    return x.view(np.dtype(f"u{x.dtype.itemsize}"))


def _shift_left(x: Any, y: Any) -> np.ndarray:
    x, y = _integers(x, y)
    inside = (y >= 0) & (y < _width(x))
    return np.where(inside, np.left_shift(x, np.where(inside, y, 0).astype(y.dtype)), 0).astype(x.dtype)


def _shift_right_logical(x: Any, y: Any) -> np.ndarray:
    x, y = _integers(x, y)
    inside = (y >= 0) & (y < _width(x))
    amount = _unsigned(np.where(inside, y, 0).astype(y.dtype))
    return np.where(inside, np.right_shift(_unsigned(x), amount), 0).astype(_unsigned(x).dtype).view(x.dtype)


def _shift_right_arithmetic(x: Any, y: Any) -> np.ndarray:
    x, y = _integers(x, y)
    inside = (y >= 0) & (y < _width(x))
    signed = x.view(np.dtype(f"i{x.dtype.itemsize}"))
    amount = np.where(inside, y, _width(x) - 1).astype(signed.dtype)
    return np.right_shift(signed, amount).view(x.dtype)


def _within(b: Any, x: Any, y: Any) -> Any:
    """Whether a shift is by 0 to width - 1 places; None if that is known."""
    bits = 8 * int(x.dtype[1])
    if y.op == "const":
        return None if 0 <= y.payload < bits else b.op("ne", x, x)
    return y < bits if y.dtype[0] == "u" else (y >= 0) & (y < bits)


def _guarded(kind: str) -> Callable[..., Any]:
    """A shift as a loop expression: processors disagree on shifting by the width or more."""

    def expr(b: Any, x: Any, y: Any) -> Any:
        bits, code = 8 * int(x.dtype[1]), x.dtype
        inside = _within(b, x, y)
        sign = {"left": code, "logical": f"u{code[1]}", "arithmetic": f"i{code[1]}"}[kind]
        value = x if sign == code else b.bitcast(x, sign)
        last = bits - 1 if kind == "arithmetic" else 0
        amount = y if inside is None else b.select(inside, y, b.const(last, code))
        amount = amount if sign == code else b.bitcast(amount, sign)
        shifted = value << amount if kind == "left" else value >> amount
        shifted = shifted if sign == code else b.bitcast(shifted, code)
        return shifted if inside is None or kind == "arithmetic" else b.select(inside, shifted, 0)

    return expr


_shifts = [
    Sample(("i4[4]", np.array([0, 1, 31, 3], np.int32))),
    Sample(("u1[4]", np.array([0, 1, 7, 9], np.uint8))),
    Sample((np.array([-5, -5, 7, -1, 9], np.int32), np.array([1, 32, 40, -1, 31], np.int32))),
    Sample(("i4[3]", 2)),
    Sample(("u4[3]", 35)),
    Sample(("i8[2]", np.array([40, 63], np.int64))),
    Sample(("i1[]", "i1[]"), low=0),
    Sample(("i4[0]", "i4[0]")),
    Sample((12, 2)),
]
# by the width or more, or by a negative number of places: 0, or the sign everywhere
shift_left = elementwise("shift_left", _shift_left, _guarded("left"), kinds="iu", samples=_shifts)
shift_right_logical = elementwise(
    "shift_right_logical", _shift_right_logical, _guarded("logical"), kinds="iu", samples=_shifts
)
shift_right_arithmetic = elementwise(
    "shift_right_arithmetic", _shift_right_arithmetic, _guarded("arithmetic"), kinds="iu", samples=_shifts
)


def _ones(b: Any, x: Any) -> Any:
    """How many bits of an unsigned loop value are set: pairs, fours, then all bytes summed by a product."""
    bits = 8 * int(x.dtype[1])
    spread = lambda byte: int.from_bytes(bytes([byte]) * (bits // 8), "little")  # a constant per width
    x = x - ((x >> 1) & spread(0x55))
    x = (x & spread(0x33)) + ((x >> 2) & spread(0x33))
    x = (x + (x >> 4)) & spread(0x0F)
    return x if bits == 8 else (x * spread(0x01)) >> (bits - 8)


def _as_unsigned(count: Callable[..., Any]) -> Callable[..., Any]:
    def expr(b: Any, x: Any) -> Any:
        code = x.dtype
        if code[0] == "u":
            return count(b, x)
        return b.bitcast(count(b, b.bitcast(x, f"u{code[1]}")), code)

    return expr


def _leading_zeros(b: Any, x: Any) -> Any:
    width, place = 8 * int(x.dtype[1]), 1
    while place < width:  # every bit below the highest one becomes 1
        x, place = x | (x >> place), 2 * place
    return _ones(b, ~x)


def _word(x: Any) -> np.ndarray:
    """An integer operand as an array: a Python number has the default width."""
    return np.asarray(x, None if hasattr(x, "dtype") else dtypes.default_int())


def _population_count(x: Any) -> np.ndarray:
    x = _word(x)
    return np.bitwise_count(_unsigned(x)).astype(x.dtype)


def _clz(x: Any) -> np.ndarray:
    x = _word(x)
    filled, place = _unsigned(x).copy(), 1
    while place < _width(x):
        filled, place = filled | (filled >> np.asarray(place, filled.dtype)), 2 * place
    return np.bitwise_count(~filled).astype(x.dtype)


_words = [
    Sample(("i4[5]",), low=-1e9, high=1e9),
    Sample(("u1[6]",), high=255),
    Sample(("i8[]",), low=-1e18, high=1e18),
    Sample((np.array([0, -1, 1, -(2**31)], np.int32),)),
    Sample(("u2[0]",)),
    Sample((5,)),
]
population_count = elementwise(
    "population_count", _population_count, _as_unsigned(_ones), kinds="iu", samples=_words
)
clz = elementwise("clz", _clz, _as_unsigned(_leading_zeros), kinds="iu", samples=_words)
