"""fnn.ops: sums, products and extremes over the segments of an array, which a vector of numbers names.

>>> import fnn.numpy as fnp
>>> print(segment_sum(fnp.array([1.0, 2.0, 4.0]), fnp.array([0, 0, 1]), num_segments=2))
[3. 4.]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fnn import dtypes
from fnn import primitives as P
from fnn.core.source import describe, here
from fnn.core.trace import Tracer, aval_of
from fnn.errors import DtypeError, ShapeError
from fnn.lax.slicing import GatherScatterMode
from fnn.operations.creation import asarray, full
from fnn.operations.operands import array_of
from fnn.operations.shaping import to


def _least(dtype: np.dtype) -> Any:
    """What no number is smaller than."""
    if dtypes.is_bool(dtype):
        return False
    return -np.inf if dtypes.is_float(dtype) else int(dtypes.iinfo(dtype).min)


def _greatest(dtype: np.dtype) -> Any:
    if dtypes.is_bool(dtype):
        return True
    return np.inf if dtypes.is_float(dtype) else int(dtypes.iinfo(dtype).max)


def _segments(name: str, combine: str, neutral: Callable[[np.dtype], Any], text: str) -> Callable[..., Any]:
    def call(
        data: Any,
        segment_ids: Any,
        num_segments: int | None = None,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        bucket_size: int | None = None,
        mode: Any = None,
        out_sharding: Any = None,
    ) -> Any:
        x, ids = array_of(name, asarray(data)), array_of(name, asarray(segment_ids))
        if not dtypes.is_integer(aval_of(ids).dtype):
            raise DtypeError(f"{name}: the segments {aval_of(ids)} are no integers, at {describe(here())}")
        rank = aval_of(ids).ndim
        if aval_of(x).shape[:rank] != aval_of(ids).shape:
            raise ShapeError(
                f"{name}: {aval_of(x)} with the segments {aval_of(ids)}, at {describe(here())}; one number for each row"
            )
        if num_segments is None:
            if isinstance(ids, Tracer):
                ids = ids.concrete(
                    f"{name}: without num_segments= the largest number, which sets the length,"
                )
            num_segments = int(np.asarray(ids).max(initial=-1)) + 1
        dtype, rest = aval_of(x).dtype, aval_of(x).shape[rank:]
        start = full((int(num_segments), *rest), neutral(dtype), dtype)
        if not aval_of(x).size:
            return start
        how = GatherScatterMode.of(mode, "drop")
        windows = tuple(range(rank, rank + len(rest)))
        return P.scatter(
            start,
            to(ids, (*aval_of(ids).shape, 1)),
            x,
            dimension_numbers=P.ScatterDimensionNumbers(windows, (0,), (0,)),
            combine=combine,
            mode="drop" if how == "fill" else how,
            unique=bool(unique_indices),
            sorted=bool(indices_are_sorted),
        )

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"""{text}

    data: rows (or numbers). segment_ids: for each the number of its segment; those below 0 or beyond the last are left out.
    num_segments: how many there are, one more than the largest number by default (which must be known then). mode: "clip"
    moves numbers out of range inside. Raises ShapeError unless there is a number for every row."""
    return call


segment_sum = _segments(
    "segment_sum", "add", lambda dtype: 0, "The sum of the rows of each segment; 0 of none."
)
segment_prod = _segments(
    "segment_prod", "mul", lambda dtype: 1, "The product of the rows of each segment; 1 of none."
)
segment_max = _segments(
    "segment_max", "max", _least, "The largest rows of each segment; -inf (or the least integer) of none."
)
segment_min = _segments(
    "segment_min",
    "min",
    _greatest,
    "The smallest rows of each segment; inf (or the largest integer) of none.",
)

__all__ = ["segment_max", "segment_min", "segment_prod", "segment_sum"]
