"""Samples that many elementwise primitives share."""

from __future__ import annotations

from typing import Any

from fnn.core.primitive import Sample


def binary(
    low: float = -2.0, high: float = 2.0, code: str = "f4", integers: bool = True, complexes: bool = False
) -> list[Sample]:
    """Samples of an operation on two operands: arrays, scalars, weak numbers, empty arrays, integers and complex
    numbers where it takes them."""
    pairs: list[tuple[Any, Any]] = [
        (f"{code}[2,3]", f"{code}[2,3]"),
        (f"{code}[]", f"{code}[3]"),
        (f"{code}[3]", f"{code}[]"),
        (f"{code}[]", f"{code}[]"),
        (f"{code}[2]", 1.5),
        (f"{code}[0,3]", f"{code}[0,3]"),
        (0.5, 1.25),
    ]
    if integers:
        pairs += [("i4[3,2]", "i4[3,2]"), ("u1[4]", "u1[4]"), ("i1[]", "i1[4]"), ("i4[3]", 3), (5, 3)]
    more = complex_pairs(low, high) if complexes else []
    return [Sample(pair, low=low, high=high) for pair in pairs] + more


def complex_pairs(low: float = -2.0, high: float = 2.0) -> list[Sample]:
    """Samples of an operation on two complex operands."""
    pairs: list[tuple[Any, Any]] = [
        ("c8[2,3]", "c8[2,3]"),
        ("c16[3]", "c16[3]"),
        ("c8[]", "c8[3]"),
        ("c8[3]", 1.5),
        ("c8[2]", 0.5 - 1.5j),
        (2.0, "c8[2]"),
        ("c8[0]", "c8[0]"),
        (0.5 + 1j, 1.25 - 1j),
    ]
    return [Sample(pair, low=low, high=high) for pair in pairs]


def unary(
    low: float = -2.0, high: float = 2.0, integers: bool = False, complexes: bool = False
) -> list[Sample]:
    """Samples of an operation on one operand."""
    specs: list[Any] = ["f4[2,3]", "f4[]", "f4[3,0]", (low + high) / 2 + 0.125]
    specs += ["i4[5]", "u2[3]", "i1[4]"] if integers else []
    specs += ["c8[2,3]", "c16[3]", "c8[0]", (low + high) / 2 + 0.125 - 0.75j] if complexes else []
    return [Sample((s,), low=low, high=high) for s in specs]
