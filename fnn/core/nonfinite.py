"""The search for the first NaN or infinity: `debug_nans` and `debug_infs`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fnn import dtypes
from fnn.config import config
from fnn.core.lowering import Elementwise, IndexMap
from fnn.core.source import describe, here
from fnn.errors import NonFiniteError

if TYPE_CHECKING:
    from fnn.core.primitive import Primitive

# What only hands numbers on: if one of them was not finite before, this is not where it was made.
_MOVES = (
    "select", "convert", "copy", "gather", "scatter", "dynamic_slice", "dynamic_update_slice", "sort", "neg", "abs",
    "stop_gradient", "optimization_barrier",
)  # fmt: skip


def forbidden(value: Any) -> bool:
    """Whether an array holds a NaN, or an infinity, and the settings forbid it."""
    return _places(value) is not None


def _places(value: Any) -> np.ndarray | None:
    """Where it does; None: nowhere."""
    array = np.asarray(value)
    if not (dtypes.is_float(array.dtype) or array.dtype.kind == "c"):
        return None
    if array.dtype.itemsize < 4:
        array = array.astype(np.float32)
    bad = np.zeros(array.shape, bool)
    if config.debug_nans:
        bad |= np.isnan(array)
    if config.debug_infs:
        bad |= np.isinf(array)
    return bad if bad.any() else None


def forbid_nonfinite(primitive: Primitive, args: Sequence[Any], outs: Sequence[np.ndarray]) -> None:
    """NonFiniteError if a result holds what is forbidden, unless the operation only moves what was there."""
    for out in outs:
        bad = _places(out)
        if bad is None:
            continue
        given = [np.asarray(a) for a in args]
        before = any(map(forbidden, given))
        if before and (isinstance(primitive.lower, IndexMap) or primitive.name in _MOVES):
            continue
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        number = out[at]
        what = "NaN" if np.isnan(number) else "an infinity"
        where = f" at index {at[0] if len(at) == 1 else at}" if at else ""
        elementwise = isinstance(primitive.lower, Elementwise)
        operands = [_operand(a, at if elementwise and a.shape == out.shape else None) for a in given]
        came = "; an operand held it already: it came in from outside, no operation made it" if before else ""
        raise NonFiniteError(
            f"{primitive.name} gave {what}{where} of its result {_type(out)}, in the computation or a derivative of "
            f"{describe(here())}; its operands: {', '.join(operands) or 'none'}{came}"
        )


def _type(array: np.ndarray) -> str:
    return f"{dtypes.short_name(array.dtype)}[{','.join(map(str, array.shape))}]"


def _operand(array: np.ndarray, at: tuple[int, ...] | None) -> str:
    """What is worth knowing of an operand: its number there, or its range."""
    if not array.ndim or at is not None:
        return f"{array[at or ()].item()!r}" if array.dtype.names is None else _type(array)
    if not array.size or array.dtype.kind not in "fiub":
        return _type(array)
    with np.errstate(all="ignore"):
        return f"{_type(array)} from {array.min().item()!r} to {array.max().item()!r}"
