"""Rounding to whole numbers: floor, ceil, round."""

from __future__ import annotations

from typing import Any

import numpy as np

from fnn.core.aval import Aval
from fnn.core.primitive import Sample
from fnn.core.source import describe, here
from fnn.errors import ArgumentError
from fnn.primitives.rules import check_kinds, elementwise
from fnn.primitives.sampling import unary

# finite differences are right between the jumps, which lie on the integers and half-way
_between = unary(0.125, 0.375) + unary(-1.375, -1.125)
_jumps = [
    Sample(
        (np.array([-2.5, -1.5, -0.5, -0.3, 0.5, 0.49999997, 1.5, 2.5, 3.0, np.nan], np.float32),),
        differentiate=False,
    )
]  # the jumps themselves
floor = elementwise("floor", np.floor, lambda b, x: b.op("floor", x), None, samples=_between + _jumps)
ceil = elementwise("ceil", np.ceil, lambda b, x: b.op("ceil", x), None, samples=_between + _jumps)


def _round(x: Any, method: str) -> Any:
    if method == "nearest_even":
        return np.rint(x)
    whole = np.trunc(x)
    return np.where(np.abs(x - whole) >= 0.5, whole + np.copysign(np.ones_like(whole), x), whole)


def _round_loop(b: Any, x: Any, method: str) -> Any:
    if method == "nearest_even":
        return b.op("rint", x)
    whole = b.op("trunc", x)
    return b.select(b.op("abs", x - whole) >= 0.5, whole + b.op("copysign", b.const(1.0, x.dtype), x), whole)


def _round_shape(x: Aval, method: str) -> Aval:
    check_kinds("round", (x,), "f")
    if method not in ("nearest_even", "away"):
        raise ArgumentError(
            f'round: method is "nearest_even" or "away", not {method!r}, at {describe(here())}'
        )
    return x


# method: where halves go
round = elementwise(
    "round",
    _round,
    _round_loop,
    None,
    shape=_round_shape,
    samples=lambda: [
        Sample(s.args, {"method": m}, s.low, s.high, s.differentiate)
        for m in ("nearest_even", "away")
        for s in _between + _jumps
    ],
)
