"""gather: windows of an array, one per index vector. General in XLA's sense; `fnn.numpy`'s indexing is built
on it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fnn import primitives as P
from fnn.core.aval import Aval, Shape
from fnn.core.lowering import Kernel
from fnn.core.primitive import Primitive, Sample
from fnn.core.source import describe, here
from fnn.core.trace import aval_of
from fnn.errors import ArgumentError
from fnn.primitives import window_loops
from fnn.primitives.pairs import Pair, as_pair
from fnn.primitives.rules import element_code, rest, shifted, zeros
from fnn.primitives.window_map import Axes, WindowMap, check_numbers, distinct, require
from fnn.records import record

MODES = ("clip", "fill", "promise_in_bounds")


@record(frozen=True)
class GatherDimensionNumbers:
    """How the axes of operand, indices and result of a gather correspond; XLA's, with index vectors on the
    last axis.

    offset_dims: the result's axes that run inside a window, ascending. collapsed_slice_dims: the operand's
    axes with window size 1 that the result does not have. start_index_map: the operand's axis each component
    of an index vector counts along. operand_batching_dims, start_indices_batching_dims: axes of operand and
    indices that advance together; the result has them once, among the axes of the indices."""

    offset_dims: Axes
    collapsed_slice_dims: Axes
    start_index_map: Axes
    operand_batching_dims: Axes = ()
    start_indices_batching_dims: Axes = ()


def window_map(operand: Shape, indices: Shape, numbers: GatherDimensionNumbers, sizes: Shape) -> WindowMap:
    """The windows that a gather reads."""
    rank = len(indices) - 1 + len(numbers.offset_dims)
    return WindowMap(
        operand,
        indices[:-1],
        sizes,
        numbers.start_index_map,
        tuple(zip(numbers.operand_batching_dims, numbers.start_indices_batching_dims)),
        rest(rank, numbers.offset_dims),
        numbers.offset_dims,
        rest(len(operand), numbers.collapsed_slice_dims, numbers.operand_batching_dims),
    )


def default_fill(code: str) -> Any:
    """What out-of-range places of an element type read in mode "fill" unless told: NaN, the least signed or
    greatest unsigned integer, True, a key of all ones."""
    if code == "b1":
        return True
    if code[0] in "fbc":
        return float("nan")
    limits = np.iinfo(code)
    return int(limits.min if code[0] == "i" else limits.max)


def _fill(code: str, fill_value: Any) -> Any:
    if fill_value is None:
        return default_fill(code)
    convert = {"f": float, "c": complex, "i": int, "u": int, "b": float}
    return bool(fill_value) if code == "b1" else convert[code[0]](fill_value)


def _shape(
    operand: Aval,
    indices: Aval,
    dimension_numbers: GatherDimensionNumbers,
    slice_sizes: Shape,
    mode: str,
    fill_value: Any = None,
) -> Aval:
    n, name = dimension_numbers, "gather"
    if mode not in MODES:
        raise ArgumentError(f"gather: mode {mode!r} is not one of {', '.join(MODES)}, at {describe(here())}")
    dropped = (*n.collapsed_slice_dims, *n.operand_batching_dims)
    check_numbers(
        name,
        operand,
        indices,
        dropped,
        n.start_index_map,
        n.operand_batching_dims,
        n.start_indices_batching_dims,
    )
    require(
        len(slice_sizes) == operand.ndim and all(0 <= m <= s for m, s in zip(slice_sizes, operand.shape)),
        name,
        f"slice_sizes {slice_sizes} do not lie within the operand {operand}",
    )
    require(
        all(slice_sizes[d] == 1 for d in n.collapsed_slice_dims),
        name,
        f"collapsed axes {n.collapsed_slice_dims} must have window size 1, slice_sizes are {slice_sizes}",
    )
    require(
        all(slice_sizes[d] <= 1 for d in n.operand_batching_dims),
        name,
        f"batching axes {n.operand_batching_dims} must have window size 1, slice_sizes are {slice_sizes}",
    )
    rank = indices.ndim - 1 + len(n.offset_dims)
    require(
        distinct(n.offset_dims, rank) and len(n.offset_dims) == operand.ndim - len(dropped),
        name,
        f"offset_dims {n.offset_dims} must be {operand.ndim - len(dropped)} ascending axes of the result, "
        f"which has {rank}",
    )
    return Aval(window_map(operand.shape, indices.shape, n, slice_sizes).shape, operand.dtype)


def _evaluate(
    operand: Any,
    indices: Any,
    dimension_numbers: GatherDimensionNumbers,
    slice_sizes: Shape,
    mode: str,
    fill_value: Any = None,
) -> np.ndarray:
    operand, indices = np.asarray(operand), np.asarray(indices)
    windows = window_map(operand.shape, indices.shape, dimension_numbers, slice_sizes)
    if 0 in windows.shape:
        return np.zeros(windows.shape, operand.dtype)
    positions, in_range = windows.positions(indices)
    out = np.take(windows.as_rows(operand), positions, axis=0)
    if mode == "fill":
        fill = np.asarray(_fill(element_code(operand.dtype), fill_value))
        out[~in_range] = (
            fill.astype(np.uint64).view(operand.dtype) if operand.dtype.names else fill.astype(operand.dtype)
        )
    out = out.reshape((*windows.rows, *[slice_sizes[d] for d in windows.kept]))
    return out.transpose(tuple(np.argsort(windows.perm)))


def _evaluate_for(types: Sequence[Aval | type], params: dict[str, Any]) -> Callable[..., Any]:
    """NumPy's `take` where that is what is meant: whole slices along one axis."""
    operand, indices = types
    if isinstance(operand, Aval) and isinstance(indices, Aval) and indices.dtype != np.uint64:
        n, sizes = params["dimension_numbers"], params["slice_sizes"]
        axes, rank = n.start_index_map, indices.ndim - 1
        whole = all(s == m for d, (s, m) in enumerate(zip(sizes, operand.shape)) if d not in axes)
        if len(axes) == 1 and n.collapsed_slice_dims == axes and not n.operand_batching_dims and whole:
            axis = axes[0]
            inside = rest(rank + len(n.offset_dims), range(axis, axis + rank)) == n.offset_dims
            if inside and operand.shape[axis] and params["mode"] != "fill":
                return lambda x, i: np.take(x, i[..., 0], axis, mode="clip")
    return functools.partial(_evaluate, **params)


def scatter_numbers(numbers: GatherDimensionNumbers) -> Any:
    """The dimension numbers of the scatter that writes where this gather reads."""
    from fnn.primitives.scattering import ScatterDimensionNumbers  # scatter is built on gather

    n = numbers
    return ScatterDimensionNumbers(
        n.offset_dims,
        n.collapsed_slice_dims,
        n.start_index_map,
        n.operand_batching_dims,
        n.start_indices_batching_dims,
    )


def _jvp(primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
    out = gather(*primals, **params)
    if tangents[0] is None:
        return out, None
    return out, gather(tangents[0], primals[1], **{**params, "fill_value": 0})


def _vjp(needs: Sequence[bool], args: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
    out = gather(*args, **params)
    if not needs[0]:
        return out, None
    aval, indices = aval_of(args[0]), args[1]

    def pull(ct: Any) -> list[Any]:
        mode = "drop" if params["mode"] == "fill" else "clip"
        numbers = scatter_numbers(params["dimension_numbers"])
        back = P.scatter(
            zeros(aval.strong()),
            indices,
            ct,
            dimension_numbers=numbers,
            combine="add",
            mode=mode,
            unique=False,
            sorted=False,
        )
        return [back, None]

    return out, pull


def _batch(
    frame: Any, flags: Sequence[bool], args: Sequence[Any], params: dict[str, Any]
) -> tuple[Any, bool]:
    """A batch of operands is one more whole axis of the window; a batch of indices one more axis of rows; a
    batch of both is a batching axis."""
    n, sizes = params["dimension_numbers"], params["slice_sizes"]
    operand_batched, indices_batched = flags
    move = shifted if operand_batched else tuple
    batching, row_batching = move(n.operand_batching_dims), n.start_indices_batching_dims
    if indices_batched:
        row_batching = shifted(row_batching)
    offsets = shifted(n.offset_dims)
    if operand_batched and indices_batched:
        sizes = (min(frame.size, 1), *sizes)
        batching, row_batching = (0, *batching), (0, *row_batching)
    elif operand_batched:
        sizes, offsets = (frame.size, *sizes), (0, *offsets)
    numbers = GatherDimensionNumbers(
        offsets, move(n.collapsed_slice_dims), move(n.start_index_map), batching, row_batching
    )
    return gather(*args, **{**params, "dimension_numbers": numbers, "slice_sizes": sizes}), True


def _pairs(args: Sequence[Any], params: dict[str, Any]) -> Pair:
    x, fill = as_pair(args[0]), params["fill_value"]
    parts = (None, 0.0) if fill is None else (complex(fill).real, complex(fill).imag)
    re, im = (
        gather(part, args[1], **{**params, "fill_value": value})
        for part, value in zip((x.re, x.imag), parts, strict=True)
    )
    return Pair(re, im)


def _windows_of(avals: Sequence[Any], params: dict[str, Any]) -> WindowMap:
    return window_map(avals[0].shape, avals[1].shape, params["dimension_numbers"], params["slice_sizes"])


def _write(b: Any, inputs: Sequence[Any], outputs: Sequence[Any], params: dict[str, Any]) -> None:
    source, indices = inputs
    fill = _fill(source.dtype, params.get("fill_value")) if params["mode"] == "fill" else None
    window_loops.write_gather(b, _windows_of(inputs, params), source, [indices], outputs[0], fill)


_ROWS = GatherDimensionNumbers((1,), (0,), (0,))
_SCALARS = GatherDimensionNumbers((), (0,), (0,))
_OUT = np.array([[2], [0], [5], [-1], [2]], np.int32)
_PAIRS = np.array([[[0, 1], [2, 3]], [[2, 0], [9, 1]], [[-4, 2], [1, 1]]], np.int64)
_PARTIAL = GatherDimensionNumbers((0, 2), (1,), (2, 0))  # of an operand with three axes, rows in the middle
_BATCHING = GatherDimensionNumbers((1,), (1,), (1,), (0,), (0,))


def _samples() -> list[Sample]:
    def p(
        numbers: GatherDimensionNumbers, sizes: Shape, mode: str = "clip", fill_value: Any = None
    ) -> dict[str, Any]:
        return {"dimension_numbers": numbers, "slice_sizes": sizes, "mode": mode, "fill_value": fill_value}

    rows = [
        Sample(
            (f"{code}[4,3]", _OUT),
            p(_ROWS, (1, 3), mode, fill),
            differentiate=mode == "clip" or fill is not None,
        )
        for code in ("f4", "bf", "i4", "b1")
        for mode, fill in (("clip", None), ("fill", None), ("fill", 1))
    ]
    return [
        *rows,
        *[Sample((f"{code}[4]", _OUT), p(_SCALARS, (1,), "fill")) for code in ("u1", "u4", "i8", "key")],
        Sample(("f8[4,3]", _OUT[:0]), p(_ROWS, (1, 3))),
        Sample(("c8[4,3]", _OUT), p(_ROWS, (1, 3))),
        Sample(("c8[4,3]", _OUT), p(_ROWS, (1, 3), "fill"), differentiate=False),
        Sample(("c16[4]", _OUT), p(_SCALARS, (1,), "fill", 1 - 2j)),
        Sample(("f4[4,0]", _OUT), p(_ROWS, (1, 0))),
        Sample(("f2[40]", np.arange(35, dtype=np.uint8)[:, None]), p(_SCALARS, (1,), "promise_in_bounds")),
        Sample(("f4[4,5,6]", _PAIRS), p(GatherDimensionNumbers((1, 3), (1,), (2, 0)), (2, 1, 3))),
        Sample(("f4[4,5,6]", _PAIRS[0]), p(_PARTIAL, (2, 1, 3), "fill", 0.5)),
        Sample(
            ("f4[5,6]", np.array([1, 2], np.int16)), p(GatherDimensionNumbers((0, 1), (), (1, 0)), (3, 2))
        ),
        Sample(("f4[3,4,2]", np.array([[1], [9], [3]], np.int32)), p(_BATCHING, (1, 1, 2), "fill", 0)),
        Sample(("f4[3]", np.zeros((2, 0), np.int32)), p(GatherDimensionNumbers((1,), (), ()), (3,))),
        Sample(("f4[6,4]", _OUT), p(GatherDimensionNumbers((0,), (1,), (1,)), (6, 1))),
    ]


# slice_sizes: of a window, along every axis of the operand. mode, for windows that reach outside: "clip"
# moves them, "fill" gives fill_value (None: see default_fill) in all of the window; "promise_in_bounds" says
# that there are none, and reads nothing outside if there are
gather = Primitive(
    "gather",
    pairs=_pairs,
    shape=_shape,
    evaluate=_evaluate,
    evaluate_for=_evaluate_for,
    jvp=_jvp,
    vjp=_vjp,
    batch=_batch,
    lower=Kernel(
        _write,
        tiles=lambda ins, outs, params: window_loops.gather_tiles(_windows_of(ins, params)),
        cost=lambda ins, outs, params: 20.0 + outs[0].size * 0.6,
    ),
    samples=_samples,
)
