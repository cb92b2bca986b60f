"""The types of numbers narrower than 8 bits, and of 8-bit floats, as names: a library may list them among those it knows,
or compare a dtype with them. There are no arrays of such numbers: every function refuses them as a dtype."""

from __future__ import annotations

from typing import Any

import ml_dtypes

_NAMES = [
    "float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn", "float8_e3m4", "float8_e4m3", "float8_e4m3b11fnuz", "float8_e4m3fn",
    "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu", "int1", "int2", "int4", "uint1", "uint2", "uint4",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _NAMES and hasattr(ml_dtypes, name):
        return getattr(ml_dtypes, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
