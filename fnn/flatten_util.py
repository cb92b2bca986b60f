"""fnn.flatten_util: a pytree of arrays as one vector, and back."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from fnn import dtypes, tree
from fnn.core.source import describe, here
from fnn.core.trace import aval_of
from fnn.errors import ArgumentError, DtypeError
from fnn.operations.creation import asarray, zeros
from fnn.operations.operands import to_dtype
from fnn.operations.shaping import concatenate, cut, ravel, to


def ravel_pytree(pytree: Any) -> tuple[Any, Callable[[Any], Any]]:
    """(all elements of all leaves as one vector, the function that makes such a pytree of a vector).

    Leaves of several dtypes meet in the one they promote to; the function gives them back their own. It raises
    ArgumentError for a vector of another length, DtypeError for one of another dtype.

    >>> import fnn.numpy as fnp
    >>> flat, unravel = ravel_pytree({"b": fnp.zeros(2), "w": fnp.ones((2, 2))})
    >>> print(flat, unravel(2 * flat)["w"].shape)
    [0. 0. 1. 1. 1. 1.] (2, 2)
    """
    leaves, structure = tree.flatten(pytree)
    if not leaves:
        return zeros((0,)), lambda flat: tree.unflatten(structure, [])
    arrays = [asarray(leaf) for leaf in leaves]
    avals = [aval_of(x) for x in arrays]
    dtype, _ = dtypes.result(avals)
    flat = concatenate([ravel(to_dtype(x, dtype)) for x in arrays])
    length = sum(a.size for a in avals)

    def unravel(flat: Any) -> Any:
        vector = asarray(flat)
        given = aval_of(vector)
        if given.shape != (length,):
            raise ArgumentError(
                f"unravel: {given} has the shape {given.shape}, at {describe(here())}; the pytree was raveled to ({length},)"
            )
        if given.dtype != dtype:
            raise DtypeError(
                f"unravel: {given} is {given.dtype}, at {describe(here())}; the pytree was raveled to {dtype}; convert it"
            )
        parts, start = [], 0
        for aval in avals:
            size = math.prod(aval.shape)
            parts.append(to_dtype(to(cut(vector, 0, start, start + size), aval.shape), aval.dtype))
            start += size
        return tree.unflatten(structure, parts)

    return flat, unravel


__all__ = ["ravel_pytree"]
