"""dynamic_slice and dynamic_update_slice: one window of an array, at a place that is computed.

A start that would let the window reach outside is moved to where it fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fnn.core.aval import Aval, Shape
from fnn.core.lowering import Kernel
from fnn.core.primitive import Sample
from fnn.core.source import describe, here
from fnn.core.trace import aval_of
from fnn.errors import DtypeError
from fnn.primitives import structural, window_loops
from fnn.primitives.gathering import GatherDimensionNumbers, gather
from fnn.primitives.rules import lift, linear, of_dtype, shifted, zeros
from fnn.primitives.scattering import ScatterDimensionNumbers, scatter
from fnn.primitives.window_map import WindowMap, clipped_starts, require, require_integers


def _check(name: str, operand: Aval, starts: Sequence[Aval], sizes: Shape) -> None:
    require(
        len(starts) == operand.ndim == len(sizes),
        name,
        f"{operand} needs {operand.ndim} starts and sizes, not {len(starts)} and {len(sizes)}",
    )
    require(
        all(0 <= m <= n for m, n in zip(sizes, operand.shape)),
        name,
        f"a window of shape {sizes} does not fit {operand}",
    )
    for start in starts:
        require_integers(name, start)
        require(start.shape == (), name, f"starts must be scalars, not {start}")


def _slice_shape(operand: Aval, *starts: Aval, sizes: Shape) -> Aval:
    _check("dynamic_slice", operand, starts, sizes)
    return Aval(sizes, operand.dtype)


def _slice_evaluate(operand: Any, *starts: Any, sizes: Shape) -> np.ndarray:
    operand = np.asarray(operand)
    first = clipped_starts(starts, operand.shape, sizes)
    return operand[tuple([slice(a, a + m) for a, m in zip(first, sizes)])]


def _update_shape(operand: Aval, update: Aval, *starts: Aval) -> Aval:
    _check("dynamic_update_slice", operand, starts, update.shape)
    if operand.dtype != update.dtype:
        raise DtypeError(
            f"dynamic_update_slice: the operand {operand} and the update {update} have different dtypes, "
            f"at {describe(here())}; convert the update with astype({operand.dtype})"
        )
    return operand.strong()


def _update_evaluate(operand: Any, update: Any, *starts: Any) -> np.ndarray:
    out, update = np.array(operand, order="C"), np.asarray(update)
    first = clipped_starts(starts, out.shape, update.shape)
    out[tuple([slice(a, a + m) for a, m in zip(first, update.shape)])] = update
    return out


# -- derivatives and batches ---------------------------------------------------------------------------------


def _slice_transpose(
    ct: Any, index: int, avals: Sequence[Aval], args: Sequence[Any], params: dict[str, Any]
) -> Any:
    return dynamic_update_slice(zeros(avals[0].strong()), ct, *args[1:])


def _update_transpose(
    ct: Any, index: int, avals: Sequence[Aval], args: Sequence[Any], params: dict[str, Any]
) -> Any:
    if index == 0:
        return dynamic_update_slice(ct, zeros(avals[1].strong()), *args[2:])
    return dynamic_slice(ct, *args[2:], sizes=avals[1].shape)


def _vectors(size: int, flags: Sequence[bool], starts: Sequence[Any]) -> Any:
    """Batched starts as one array of index vectors."""
    avals = [aval_of(s) for s in starts]
    wide = any(a.dtype.itemsize == 8 or a.dtype == np.uint32 for a in avals)
    dtype = np.dtype(np.int64 if wide else np.int32)
    columns = [
        structural.reshape(lift(size, of_dtype(s, dtype), f), shape=(size, 1)) for s, f in zip(starts, flags)
    ]
    return structural.concatenate(*columns, axis=1)


def _slice_batch(
    frame: Any, flags: Sequence[bool], args: Sequence[Any], params: dict[str, Any]
) -> tuple[Any, bool]:
    operand, starts = args[0], args[1:]
    sizes, axes = params["sizes"], tuple(range(len(starts)))
    if not any(flags[1:]):
        return dynamic_slice(operand, 0, *starts, sizes=(frame.size, *sizes)), True
    indices = _vectors(frame.size, flags[1:], starts)
    if flags[0]:
        numbers = GatherDimensionNumbers(shifted(axes), (), shifted(axes), (0,), (0,))
        sizes = (min(frame.size, 1), *sizes)
    else:
        numbers = GatherDimensionNumbers(shifted(axes), (), axes)
    return gather(
        operand, indices, dimension_numbers=numbers, slice_sizes=sizes, mode="clip", fill_value=None
    ), True


def _update_batch(
    frame: Any, flags: Sequence[bool], args: Sequence[Any], params: dict[str, Any]
) -> tuple[Any, bool]:
    operand, update, starts = (
        lift(frame.size, args[0], flags[0]),
        lift(frame.size, args[1], flags[1]),
        args[2:],
    )
    if not any(flags[2:]):
        return dynamic_update_slice(operand, update, 0, *starts), True
    axes = shifted(tuple(range(len(starts))))
    numbers = ScatterDimensionNumbers(axes, (), axes, (0,), (0,))
    indices = _vectors(frame.size, flags[2:], starts)
    return scatter(
        operand,
        indices,
        update,
        dimension_numbers=numbers,
        combine="set",
        mode="clip",
        unique=True,
        sorted=False,
    ), True


# -- lowering ------------------------------------------------------------------------------------------------


def _window(operand: Shape, sizes: Shape) -> WindowMap:
    axes = tuple(range(len(operand)))
    return WindowMap(operand, (), sizes, axes, (), (), axes, axes)


def _write_slice(b: Any, inputs: Sequence[Any], outputs: Sequence[Any], params: dict[str, Any]) -> None:
    window = _window(inputs[0].shape, params["sizes"])
    window_loops.write_gather(b, window, inputs[0], inputs[1:], outputs[0])


def _write_update(b: Any, inputs: Sequence[Any], outputs: Sequence[Any], params: dict[str, Any]) -> None:
    window = _window(inputs[0].shape, inputs[1].shape)
    window_loops.write_scatter(b, window, inputs[2:], inputs[1], outputs[0], "set", False, True)


_I = np.int32
# (operand, *starts) -> the window of shape `sizes` at the starts, one integer scalar per axis
dynamic_slice = linear(
    "dynamic_slice",
    shape=_slice_shape,
    evaluate=_slice_evaluate,
    transpose=_slice_transpose,
    batch=_slice_batch,
    lower=Kernel(
        _write_slice,
        tiles=lambda ins, outs, params: window_loops.gather_tiles(_window(ins[0].shape, params["sizes"])),
        cost=lambda ins, outs, params: 10.0 + outs[0].size * 0.3,
    ),
    samples=lambda: [
        Sample(("f4[5,4]", np.array(1, _I), np.array(2, _I)), {"sizes": (3, 2)}),
        Sample(("f4[5,4]", np.array(4, np.int64), np.array(-3, np.int8)), {"sizes": (3, 4)}),
        Sample(("bf[7]", np.array(200, np.uint8)), {"sizes": (3,)}),
        Sample(("f4[3,4,5]", np.array(1, _I), 0, 0), {"sizes": (1, 4, 5)}),
        *[
            Sample((f"{code}[6,2]", np.array(2, _I), 0), {"sizes": (3, 2)})
            for code in ("f2", "f8", "i4", "u8", "b1", "key")
        ],
        Sample(("f4[5,4]", np.array(1, _I), np.array(2, _I)), {"sizes": (3, 0)}),
        Sample(("f4[]",), {"sizes": ()}),
        Sample(("f4[2,5000]", np.array(1, _I), np.array(300, _I)), {"sizes": (1, 4500)}),
    ],
)

# (operand, update, *starts) -> the operand with the update written over the window at the starts
dynamic_update_slice = linear(
    "dynamic_update_slice",
    shape=_update_shape,
    evaluate=_update_evaluate,
    transpose=_update_transpose,
    batch=_update_batch,
    positions=(0, 1),
    lower=Kernel(
        _write_update,
        tiles=lambda ins, outs, params: window_loops.scatter_tiles(_window(ins[0].shape, ins[1].shape), True),
        cost=lambda ins, outs, params: 10.0 + ins[1].size * 0.3,
        in_place=((0, 0),),
    ),
    samples=lambda: [
        Sample(("f4[5,4]", "f4[3,2]", np.array(1, _I), np.array(2, _I))),
        Sample(("f4[5,4]", "f4[3,4]", np.array(4, np.int64), np.array(-3, np.int8))),
        Sample(("bf[7]", "bf[3]", np.array(200, np.uint8))),
        Sample(("f4[3,4,5]", "f4[1,4,5]", np.array(1, _I), 0, 0)),
        *[
            Sample((f"{code}[6,2]", f"{code}[3,2]", np.array(2, _I), 0))
            for code in ("f2", "f8", "i4", "u8", "b1", "key")
        ],
        Sample(("f4[5,4]", "f4[3,0]", np.array(1, _I), np.array(2, _I))),
        Sample(("f4[]", "f4[]")),
        Sample(("f4[600,3]", "f4[300,2]", np.array(100, _I), np.array(1, _I))),
    ],
)
