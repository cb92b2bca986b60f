"""sort along an axis, by several keys and carrying other arrays along, and top_k, the largest elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fnn import dtypes
from fnn.core.aval import Aval, Shape
from fnn.core.lowering import Kernel
from fnn.core.primitive import Primitive, Sample
from fnn.core.source import describe, here
from fnn.core.trace import aval_of, shape_of
from fnn.errors import ArgumentError, DtypeError, ShapeError
from fnn.primitives import sorting_loops, structural
from fnn.primitives.gathering import GatherDimensionNumbers, gather
from fnn.primitives.pairs import Pair
from fnn.primitives.rules import lift, rest, zeros
from fnn.primitives.scattering import ScatterDimensionNumbers, scatter
from fnn.primitives.sorting_loops import Line

INT32 = np.dtype(np.int32)
SELECT = 64  # top_k finds up to this many elements by insertion; above it sorts candidates


# -- along an axis -------------------------------------------------------------------------------------------


def _vectors(indices: Any) -> Any:
    return structural.reshape(indices, shape=(*shape_of(indices), 1))


def _read_along(x: Any, indices: Any, axis: int) -> Any:
    """x[..., indices[..., i, ...], ...] for every place i along the axis; indices are in range."""
    if shape_of(x)[axis] == 0:
        return x  # the result is as empty
    others = rest(len(shape_of(x)), (axis,))
    numbers = GatherDimensionNumbers((), (axis,), (axis,), others, others)
    sizes = tuple([min(n, 1) if d in others else 1 for d, n in enumerate(shape_of(x))])
    return gather(
        x,
        _vectors(indices),
        dimension_numbers=numbers,
        slice_sizes=sizes,
        mode="promise_in_bounds",
        fill_value=None,
    )


def _write_along(aval: Aval, indices: Any, updates: Any, axis: int) -> Any:
    """Zeros of a type but for the updates at distinct indices: the transpose of `_read_along`."""
    if aval.shape[axis] == 0:
        return zeros(aval.strong())
    others = rest(aval.ndim, (axis,))
    numbers = ScatterDimensionNumbers((), (axis,), (axis,), others, others)
    return scatter(
        zeros(aval.strong()),
        _vectors(indices),
        updates,
        dimension_numbers=numbers,
        combine="set",
        mode="promise_in_bounds",
        unique=True,
        sorted=False,
    )


# -- sort ----------------------------------------------------------------------------------------------------


def _sort_shape(*operands: Aval, axis: int, keys: int, stable: bool) -> list[Aval]:
    first = operands[0]
    if any(x.shape != first.shape for x in operands):
        raise ShapeError(
            f"sort: the operands {', '.join(map(str, operands))} have different shapes, at {describe(here())}"
        )
    if not 0 <= axis < first.ndim:
        raise ShapeError(f"sort: {axis} is not an axis of {first}, at {describe(here())}")
    if not 1 <= keys <= len(operands):
        raise ArgumentError(
            f"sort: keys={keys}, but there are {len(operands)} operands, at {describe(here())}"
        )
    for x in operands[:keys]:
        if dtypes.is_key(x.dtype):
            raise DtypeError(
                f"sort: random keys have no order ({x}), at {describe(here())}; fnn.random.key_data gives "
                "their bits"
            )
    return [x.strong() for x in operands]


def _comparable(x: np.ndarray) -> np.ndarray:
    """x as something that NumPy sorts: 16-bit floats as 32-bit ones."""
    return x.astype(np.float32) if x.dtype == dtypes.bfloat16 else x


def _parts(x: np.ndarray) -> list[np.ndarray]:
    """Complex keys count by their real parts, then by their imaginary ones."""
    return [np.real(x), np.imag(x)] if x.dtype.kind == "c" else [x]


def _sort_evaluate(*operands: Any, axis: int, keys: int, stable: bool) -> list[np.ndarray]:
    order: np.ndarray | None = None
    for key in reversed(
        [part for x in operands[:keys] for part in _parts(x)]
    ):  # sorting stably by the last key first
        key = _comparable(key) if order is None else np.take_along_axis(_comparable(key), order, axis)
        step = np.argsort(key, axis=axis, kind="stable")
        order = step if order is None else np.take_along_axis(order, step, axis)
    assert order is not None
    return [np.take_along_axis(x, order, axis) for x in operands]


def _permuted(operands: Sequence[Any], params: dict[str, Any]) -> tuple[list[Any], Any]:
    """(sorted operands, the permutation)"""
    shape, axis = shape_of(operands[0]), params["axis"]
    *out, order = sort(*operands, structural.iota(dtype=INT32, shape=shape, dimension=axis), **params)
    return out, order


def _sort_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any]
) -> tuple[list[Any], list[Any]]:
    if all(t is None for t in tangents):
        return sort(*primals, **params), [None] * len(primals)
    out, order = _permuted(primals, params)
    return out, [None if t is None else _read_along(t, order, params["axis"]) for t in tangents]


def _sort_vjp(
    needs: Sequence[bool], args: Sequence[Any], params: dict[str, Any]
) -> tuple[list[Any], Any, list[bool]]:
    if not any(needs):
        return sort(*args, **params), None, [False] * len(args)
    out, order = _permuted(args, params)
    avals = [aval_of(a) for a in args]

    def pull(cts: Sequence[Any]) -> list[Any]:
        return [
            _write_along(a, order, ct, params["axis"]) if need and ct is not None else None
            for a, ct, need in zip(avals, cts, needs)
        ]

    return out, pull, list(needs)


def _sort_batch(
    frame: Any, flags: Sequence[bool], args: Sequence[Any], params: dict[str, Any]
) -> tuple[list[Any], list[bool]]:
    operands = [lift(frame.size, a, f) for a, f in zip(args, flags)]
    return sort(*operands, **{**params, "axis": params["axis"] + 1}), [True] * len(args)


def _lines(shape: Shape, axis: int) -> tuple[int, int, int]:
    """(number of lines along the axis, their length, the distance of their elements)"""
    return math.prod(shape[:axis] + shape[axis + 1 :]), shape[axis], math.prod(shape[axis + 1 :])


def _sort_workspace(
    ins: Sequence[Aval], outs: Sequence[Aval], params: dict[str, Any]
) -> list[tuple[str, int]]:
    """Scratch for each operand; twice if the output, not being contiguous along the axis, is filled at the
    end."""
    times = 1 if _lines(ins[0].shape, params["axis"])[2] == 1 else 2
    return [(_code(x.dtype), x.size) for _ in range(times) for x in ins]


def _code(dtype: np.dtype) -> str:
    """The element type of a buffer."""
    if dtype == dtypes.bfloat16:
        return "bf"
    return "b1" if dtype.kind == "b" else "u8" if dtypes.is_key(dtype) else f"{dtype.kind}{dtype.itemsize}"


def _by_radix(codes: Sequence[str], length: int) -> bool:
    """Whether radix sort is the faster one: its passes depend on the keys' width, those of merging on the
    length."""
    passes = sorting_loops.radix_passes(codes)
    return passes <= 8 and length >= 16 * passes


def _sort_write(b: Any, inputs: Sequence[Any], outputs: Sequence[Any], params: dict[str, Any]) -> None:
    count = len(inputs)
    _, length, distance = _lines(inputs[0].shape, params["axis"])
    n, step = b.size(length), 1 if distance == 1 else b.size(distance)
    buffers = [tuple([o.buffer for o in outputs[k : k + count]]) for k in range(0, len(outputs), count)]
    with b.tiles() as t:
        start = t * n if distance == 1 else t / step * (n * step) + t % step
        source = Line(b, tuple([x.buffer for x in inputs]), start, step)
        result = Line(b, buffers[0], start, step)
        other = Line(b, buffers[1], t * n)
        home = result if distance == 1 else Line(b, buffers[2], t * n)
        if _by_radix([x.dtype for x in inputs[: params["keys"]]], length):
            sorting_loops.radix_sort(b, source, home, other, n, params["keys"])
        else:
            order = sorting_loops.lexicographic(b, params["keys"])
            sorting_loops.merge_sort(b, source.load, home, other, n, order)
        if distance != 1:
            sorting_loops.copy(b, home, result, n)


def _sort_cost(ins: Sequence[Aval], outs: Sequence[Aval], params: dict[str, Any]) -> float:
    length = ins[0].shape[params["axis"]]
    codes = [_code(x.dtype) for x in ins[: params["keys"]]]
    if _by_radix(codes, length):
        return 50.0 + ins[0].size * (1.0 + len(ins)) * 1.5 * sorting_loops.radix_passes(codes)
    return 50.0 + ins[0].size * (4.0 + len(ins) * 4.0 * math.log2(2 + length))


def _sort_pairs(args: Sequence[Any], p: dict[str, Any]) -> list[Any]:
    """Each complex operand is two, a key of two parts if it is a key."""
    flat: list[Any] = []
    for x in args:
        flat += [x.re, x.imag] if isinstance(x, Pair) else [x]
    keys = sum(1 + isinstance(x, Pair) for x in args[: p["keys"]])
    out = iter(sort(*flat, **{**p, "keys": keys}))
    return [Pair(next(out), next(out)) if isinstance(x, Pair) else next(out) for x in args]


_SORT = {"axis": 0, "keys": 1, "stable": True}
_SPECIAL = np.array([0.0, -0.0, np.nan, -np.inf, 1.0, -np.nan, np.inf, -0.0, 0.0, -2.5], np.float32)
# operands sorted along an axis, ascending and lexicographically by the first `keys` of them, the others going
# along; NaN comes last, 0 and -0 are equal. It is always stable; `stable` says that the caller counts on it
sort = Primitive(
    "sort",
    shape=_sort_shape,
    evaluate=_sort_evaluate,
    jvp=_sort_jvp,
    vjp=_sort_vjp,
    batch=_sort_batch,
    pairs=_sort_pairs,
    multiple=True,
    lower=Kernel(
        _sort_write,
        tiles=lambda ins, outs, params: _lines(ins[0].shape, params["axis"])[0] if ins[0].size else 0,
        cost=_sort_cost,
        workspace=_sort_workspace,
    ),
    samples=lambda: [
        *[
            Sample((f"{code}[7]",), _SORT, differentiate=code in ("f4", "f8"))
            for code in ("f4", "f8", "bf", "f2", "i1", "i4", "i8", "u1", "u4", "u8", "b1")
        ],
        Sample(("f4[3,40]",), {**_SORT, "axis": 1}),
        Sample(("f4[3,19,2]",), {**_SORT, "axis": 1}),
        Sample(("f4[33]", np.arange(33, dtype=np.int32)), _SORT),
        Sample((_SPECIAL, np.arange(10, dtype=np.int32)), _SORT, differentiate=False),
        Sample(("i4[50]", "f4[50]", "b1[50]"), {**_SORT, "keys": 2}, low=0, high=3),
        Sample(("b1[21]", "key[21]"), _SORT),
        Sample(("f4[2,5]", "f4[2,5]"), _SORT),
        Sample(
            (_SPECIAL, _SPECIAL[::-1].copy(), np.arange(10, dtype=np.int8)),
            {**_SORT, "keys": 2},
            differentiate=False,
        ),
        Sample(("c8[9]", "f4[9]"), _SORT),
        Sample((np.array([2 + 1j, 2 - 1j, 1, np.nan, 2, 1j], np.complex64),), _SORT, differentiate=False),
        Sample(("c16[3,4]", "c8[3,4]"), {**_SORT, "axis": 1, "keys": 2}),
        Sample(("f4[0]",), _SORT),
        Sample(("f4[3,0]",), {**_SORT, "axis": 0}),
        Sample(("f4[1]",), _SORT),
    ],
)


# -- top_k ---------------------------------------------------------------------------------------------------


def _top_k_shape(x: Aval, k: int) -> list[Aval]:
    if x.ndim == 0 or not 0 <= k <= x.shape[-1]:
        raise ShapeError(f"top_k: {x} does not have {k} elements along its last axis, at {describe(here())}")
    if dtypes.is_key(x.dtype):
        raise DtypeError(f"top_k: random keys have no order ({x}), at {describe(here())}")
    if dtypes.is_complex(x.dtype):
        raise DtypeError(
            f"top_k: complex numbers have no order ({x}), at {describe(here())}; take abs(x) or x.real"
        )
    shape = (*x.shape[:-1], k)
    return [Aval(shape, x.dtype), Aval(shape, INT32)]


def _rank(x: np.ndarray) -> np.ndarray:
    """Integers in reverse order of x: NaN first, 0 before -0."""
    if x.dtype.kind == "b":
        return ~x
    if x.dtype.kind in "iu":
        return ~x
    nan = np.isnan(x)
    x = x.astype(np.float32) if x.dtype.itemsize == 2 else x
    bits = x.view(f"i{x.dtype.itemsize}")
    greatest = np.iinfo(bits.dtype).max
    return ~np.where(nan, greatest, np.where(bits < 0, bits ^ greatest, bits))


def _top_k_evaluate(x: Any, k: int) -> list[np.ndarray]:
    x = np.asarray(x)
    order = np.argsort(_rank(x), axis=-1, kind="stable")[..., :k]
    return [np.take_along_axis(x, order, -1), order.astype(np.int32)]


def _top_k_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any]
) -> tuple[list[Any], list[Any]]:
    values, indices = top_k(*primals, **params)
    t = tangents[0]
    return [values, indices], [None if t is None else _read_along(t, indices, len(shape_of(t)) - 1), None]


def _top_k_vjp(
    needs: Sequence[bool], args: Sequence[Any], params: dict[str, Any]
) -> tuple[list[Any], Any, list[bool]]:
    values, indices = top_k(*args, **params)
    if not needs[0]:
        return [values, indices], None, [False, False]
    aval = aval_of(args[0])

    def pull(cts: Sequence[Any]) -> list[Any]:
        return [None if cts[0] is None else _write_along(aval, indices, cts[0], aval.ndim - 1)]

    return [values, indices], pull, [True, False]


def _room(k: int) -> int:
    """How many elements are sorted at a time to find the first k; 0: none, they are inserted one by one."""
    return 0 if k <= SELECT else sorting_loops.candidates(k)


def _top_k_workspace(
    ins: Sequence[Aval], outs: Sequence[Aval], params: dict[str, Any]
) -> list[tuple[str, int]]:
    """Two copies of candidates and their indices, to sort them."""
    room = math.prod(ins[0].shape[:-1]) * _room(params["k"])
    return [(_code(ins[0].dtype), room), ("i4", room)] * 2 if room else []


def _top_k_write(b: Any, inputs: Sequence[Any], outputs: Sequence[Any], params: dict[str, Any]) -> None:
    x, k = inputs[0], params["k"]
    n = b.size(x.shape[-1])
    buffers = [o.buffer for o in outputs]
    with b.tiles() as t:
        base = t * n

        def element(i: Any) -> Any:
            return b.load(x.buffer, base + i)

        if k <= SELECT:
            sorting_loops.select_first(b, element, Line(b, (buffers[0], buffers[1]), t * k), n, k)
        else:
            count, room = b.size(k), b.size(_room(k))
            home, other = (Line(b, (buffers[j], buffers[j + 1]), t * room) for j in (2, 4))
            sorting_loops.select_by_sorting(b, element, home, other, n, count)
            sorting_loops.copy(b, home, Line(b, (buffers[0], buffers[1]), t * count), count)


def _top_k_cost(ins: Sequence[Aval], outs: Sequence[Aval], params: dict[str, Any]) -> float:
    """Of numbers in no order: few chunks hold anything that is wanted."""
    n, k = ins[0].shape[-1], params["k"]
    inserted = outs[0].size * math.log(2 + n / max(k, 1))
    return 50.0 + 0.2 * ins[0].size + inserted * (min(k, SELECT) if k <= SELECT else 4.0 + 3.0 * math.log2(k))


# the k largest elements along the last axis, largest first, and their int32 indices. NaN counts as largest, 0
# is above -0; of equal ones the first stands first
top_k = Primitive(
    "top_k",
    shape=_top_k_shape,
    evaluate=_top_k_evaluate,
    jvp=_top_k_jvp,
    vjp=_top_k_vjp,
    multiple=True,
    batch=lambda frame, flags, args, params: (top_k(*args, **params), [True, True]),
    lower=Kernel(
        _top_k_write,
        tiles=lambda ins, outs, params: math.prod(ins[0].shape[:-1]) if outs[0].size else 0,
        cost=_top_k_cost,
        workspace=_top_k_workspace,
    ),
    samples=lambda: [
        *[
            Sample((f"{code}[3,7]",), {"k": 3}, differentiate=code in ("f4", "f8"))
            for code in ("f4", "f8", "bf", "f2", "i4", "u1", "b1")
        ],
        Sample((_SPECIAL,), {"k": 10}, differentiate=False),
        Sample(("f4[90]",), {"k": 80}, differentiate=False),  # ties of float32 in so many numbers
        Sample(("i4[2,90]",), {"k": 70}),
        Sample(("f4[2,1000]",), {"k": 5}, differentiate=False),
        Sample(("f4[3,2000]",), {"k": 100}, differentiate=False),
        Sample(("u1[2,1500]",), {"k": 66}),
        Sample(("f4[4]",), {"k": 0}),
        Sample(("f4[0,4]",), {"k": 2}),
    ],
)
