"""`jax.dtypes`."""

from __future__ import annotations

from typing import Any

import numpy as np

from fnn.dtypes import (
    Dtype,
    as_dtype,
    bfloat16,
    bits,
    canonicalize,
    extended,
    finfo,
    float0,
    iinfo,
    issubdtype,
    kind,
    prng_key,
    result_type,
)
from fnn.errors import DtypeError as TypePromotionError

__all__ = [
    "DType",
    "ExtendedDType",
    "TypePromotionError",
    "bfloat16",
    "canonicalize_dtype",
    "extended",
    "finfo",
    "float0",
    "iinfo",
    "issubdtype",
    "itemsize_bits",
    "prng_key",
    "result_type",
    "scalar_type_of",
]


def canonicalize_dtype(
    dtype: Any, allow_extended_dtype: bool = False, allow_opaque_dtype: bool = False
) -> Dtype:
    """The dtype that arrays of an input of this dtype have: of 32 bits unless 64 are enabled."""
    return canonicalize(np.float64 if dtype is None else dtype)


DType = Dtype


class ExtendedDType:
    """In JAX the base of element types that libraries define. fnn has no such arrays: every function that is given one of
    these as a dtype refuses it."""


def itemsize_bits(dtype: Any) -> int:
    """The bits of an element."""
    return bits(as_dtype(dtype))


def scalar_type_of(x: Any) -> type:
    """Python's type for the elements of an array: bool, int, float or complex."""
    dtype = as_dtype(getattr(x, "dtype", np.asarray(x).dtype))
    return {"b": bool, "i": int, "u": int, "f": float, "c": complex}[kind(dtype)]
