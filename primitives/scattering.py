"""scatter: updates written or combined into windows of an array, one per index vector; gather's counterpart.

Where windows overlap, updates apply in the order of the index vectors: of several "set" updates the last one
stays, always."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fnn import dtypes
from fnn.core.aval import Aval, Shape
from fnn.core.lowering import Kernel
from fnn.core.primitive import Primitive, Sample
from fnn.core.source import describe, here
from fnn.core.trace import aval_of, shape_of
from fnn.errors import ArgumentError, DifferentiationError, DtypeError, UnsupportedError
from fnn.primitives import arithmetic, comparison, structural, window_loops
from fnn.primitives.gathering import GatherDimensionNumbers, gather
from fnn.primitives.pairs import Pair, as_pair, times
from fnn.primitives.rules import lift, of_dtype, rest, shifted, zeros
from fnn.primitives.window_map import Axes, WindowMap, check_numbers, distinct, require
from fnn.records import record

MODES = ("clip", "drop", "fill", "promise_in_bounds")
COMBINE = {"add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum}


@record(frozen=True)
class ScatterDimensionNumbers:
    """How the axes of operand, indices and updates of a scatter correspond; XLA's, with index vectors on the
    last axis.

    update_window_dims: the updates' axes that run inside a window, ascending. inserted_window_dims: the
    operand's axes with window size 1 that the updates do not have. scatter_dims_to_operand_dims: the
    operand's axis each component of an index vector counts along. operand_batching_dims,
    scatter_indices_batching_dims: axes of operand and indices that advance together."""

    update_window_dims: Axes
    inserted_window_dims: Axes
    scatter_dims_to_operand_dims: Axes
    operand_batching_dims: Axes = ()
    scatter_indices_batching_dims: Axes = ()


def _kept(rank: int, numbers: ScatterDimensionNumbers) -> Axes:
    return rest(rank, numbers.inserted_window_dims, numbers.operand_batching_dims)


def window_sizes(operand: Shape, updates: Shape, numbers: ScatterDimensionNumbers) -> Shape:
    """The size of a window along every axis of the operand."""
    sizes = [1] * len(operand)
    for d in numbers.operand_batching_dims:
        sizes[d] = min(operand[d], 1)
    for axis, d in zip(numbers.update_window_dims, _kept(len(operand), numbers), strict=True):
        sizes[d] = updates[axis]
    return tuple(sizes)


def window_map(operand: Shape, indices: Shape, updates: Shape, numbers: ScatterDimensionNumbers) -> WindowMap:
    """The windows that a scatter writes."""
    return WindowMap(
        operand,
        indices[:-1],
        window_sizes(operand, updates, numbers),
        numbers.scatter_dims_to_operand_dims,
        tuple(zip(numbers.operand_batching_dims, numbers.scatter_indices_batching_dims)),
        rest(len(updates), numbers.update_window_dims),
        numbers.update_window_dims,
        _kept(len(operand), numbers),
    )


def _shape(
    operand: Aval,
    indices: Aval,
    updates: Aval,
    dimension_numbers: ScatterDimensionNumbers,
    combine: str,
    mode: str,
    unique: bool,
    sorted: bool,
) -> Aval:
    n, name = dimension_numbers, "scatter"
    if mode not in MODES:
        raise ArgumentError(f"scatter: mode {mode!r} is not one of {', '.join(MODES)}, at {describe(here())}")
    if combine != "set" and combine not in COMBINE:
        raise ArgumentError(
            f"scatter: combine {combine!r} is not one of set, {', '.join(COMBINE)}, at {describe(here())}"
        )
    if operand.dtype != updates.dtype:
        raise DtypeError(
            f"scatter: the operand {operand} and the updates {updates} have different dtypes, "
            f"at {describe(here())}; convert the updates with astype({operand.dtype})"
        )
    bad = "kc" if combine in ("min", "max") else "bk" if combine != "set" else ""
    if dtypes.kind(operand.dtype) in bad:
        raise DtypeError(
            f'scatter: {combine!r} does not combine {operand}, at {describe(here())}; only "set" does'
        )
    dropped = (*n.inserted_window_dims, *n.operand_batching_dims)
    check_numbers(
        name,
        operand,
        indices,
        dropped,
        n.scatter_dims_to_operand_dims,
        n.operand_batching_dims,
        n.scatter_indices_batching_dims,
    )
    kept = _kept(operand.ndim, n)
    require(
        distinct(n.update_window_dims, updates.ndim) and len(n.update_window_dims) == len(kept),
        name,
        f"update_window_dims {n.update_window_dims} must be {len(kept)} ascending axes of {updates}",
    )
    sizes = window_sizes(operand.shape, updates.shape, n)
    require(
        all(m <= s for m, s in zip(sizes, operand.shape)),
        name,
        f"windows of shape {sizes}, from the updates {updates}, do not fit the operand {operand}",
    )
    rows = tuple([updates.shape[d] for d in rest(updates.ndim, n.update_window_dims)])
    require(
        rows == indices.shape[:-1],
        name,
        f"the updates {updates} hold windows for indices of shape {rows}, the indices {indices} name "
        f"{indices.shape[:-1]}",
    )
    return operand.strong()


def _evaluate(
    operand: Any,
    indices: Any,
    updates: Any,
    dimension_numbers: ScatterDimensionNumbers,
    combine: str,
    mode: str,
    unique: bool,
    sorted: bool,
) -> np.ndarray:
    operand, indices, updates = np.asarray(operand), np.asarray(indices), np.asarray(updates)
    out = np.array(operand, order="C")
    if updates.size == 0:
        return out
    windows = window_map(operand.shape, indices.shape, updates.shape, dimension_numbers)
    positions, in_range = windows.positions(indices)
    into = out.reshape(-1, windows.inner)
    rows = updates.transpose(windows.perm).reshape(*positions.shape, windows.inner)
    if mode in ("drop", "fill"):
        positions, rows = positions[in_range], rows[in_range]
    flat, rows = positions.reshape(-1), rows.reshape(-1, windows.inner)
    if combine == "set":
        into[flat] = rows  # one index array: NumPy goes through it in order
    else:
        COMBINE[combine].at(into, flat, rows)
    return out


# -- derivatives ---------------------------------------------------------------------------------------------


def _with(params: dict[str, Any], combine: str) -> dict[str, Any]:
    return {**params, "combine": combine}


def _read(x: Any, indices: Any, updates: Aval, params: dict[str, Any]) -> Any:
    """What x, of the operand's shape, holds where the updates go: of the updates' shape, zero for dropped
    ones."""
    n = params["dimension_numbers"]
    numbers = GatherDimensionNumbers(
        n.update_window_dims,
        n.inserted_window_dims,
        n.scatter_dims_to_operand_dims,
        n.operand_batching_dims,
        n.scatter_indices_batching_dims,
    )
    sizes = window_sizes(shape_of(x), updates.shape, n)
    mode = "fill" if params["mode"] in ("drop", "fill") else "clip"
    return gather(x, indices, dimension_numbers=numbers, slice_sizes=sizes, mode=mode, fill_value=0)


def _winners(operand: Aval, indices: Any, updates: Aval, params: dict[str, Any]) -> Any:
    """Which updates of a "set" are there in the end: each is numbered, and the numbers are scattered."""
    numbers = structural.iota(dtype=np.dtype(np.int32), shape=(updates.size,), dimension=0)
    numbers = arithmetic.add(
        structural.reshape(numbers, shape=updates.shape), 1
    )  # 0: none, and what dropped ones read
    left = scatter(
        zeros(operand.update(dtype=np.dtype(np.int32), weak_type=False)), indices, numbers, **params
    )
    return comparison.eq(_read(left, indices, updates, params), numbers)


def _shares(primals: Sequence[Any], out: Any, params: dict[str, Any]) -> tuple[Any, Any]:
    """How much of a min's or max's result each element of operand and updates is: 1, or a part of it on
    ties."""
    operand, indices, updates = primals
    aval, dtype = aval_of(updates), aval_of(out).dtype
    mine = of_dtype(comparison.eq(operand, out), dtype)
    theirs = of_dtype(comparison.eq(updates, _read(out, indices, aval, params)), dtype)
    ties = scatter(mine, indices, theirs, **_with(params, "add"))
    share = arithmetic.div(theirs, _read_positive(ties, indices, aval, params))
    return arithmetic.div(mine, ties), share


def _read_positive(ties: Any, indices: Any, updates: Aval, params: dict[str, Any]) -> Any:
    """The number of ties per update; at least 1, for dropped updates read 0."""
    return arithmetic.max(_read(ties, indices, updates, params), np.ones((), aval_of(ties).dtype))


def _refuse_mul() -> DifferentiationError:
    return DifferentiationError(
        f'the derivative of scatter with combine="mul" in the updates needs distinct indices, '
        f"at {describe(here())}: pass unique_indices=True if they are, or multiply within segments first"
    )


def _jvp(primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
    (operand, indices, updates), (t_operand, _, t_updates) = primals, tangents
    combine = params["combine"]
    out = scatter(*primals, **params)
    if t_operand is None and t_updates is None:
        return out, None
    if combine == "add" and t_updates is None:
        return out, t_operand
    if combine in ("set", "add"):
        t_operand = zeros(aval_of(operand).strong()) if t_operand is None else t_operand
        t_updates = zeros(aval_of(updates).strong()) if t_updates is None else t_updates
        return out, scatter(t_operand, indices, t_updates, **params)
    if combine == "mul":
        if t_updates is not None and not params["unique"]:
            raise _refuse_mul()
        left = None if t_operand is None else scatter(t_operand, indices, updates, **params)
        right = None if t_updates is None else _mul_term(operand, indices, t_updates, params)
    else:
        mine, theirs = _shares(primals, out, params)
        left = None if t_operand is None else arithmetic.mul(t_operand, mine)
        right = (
            None
            if t_updates is None
            else scatter(
                zeros(aval_of(out)), indices, arithmetic.mul(t_updates, theirs), **_with(params, "add")
            )
        )
    return out, right if left is None else left if right is None else arithmetic.add(left, right)


def _mul_term(operand: Any, indices: Any, t_updates: Any, params: dict[str, Any]) -> Any:
    """The tangent of scatter "mul" of distinct indices that comes from the updates."""
    there = _read(operand, indices, aval_of(t_updates), params)
    return scatter(
        zeros(aval_of(operand).strong()), indices, arithmetic.mul(there, t_updates), **_with(params, "add")
    )


def _vjp(needs: Sequence[bool], args: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
    out = scatter(*args, **params)
    if not (needs[0] or needs[2]):
        return out, None
    if params["combine"] == "mul" and needs[2] and not params["unique"]:
        raise _refuse_mul()
    operand, indices, updates = args
    combine, of_operand, of_updates = params["combine"], aval_of(operand), aval_of(updates)
    if combine in ("set", "add"):
        operand = updates = None  # not needed, so not kept alive
    result = out if combine in ("min", "max") else None

    def pull(ct: Any) -> list[Any]:
        first, second = ct, None
        if needs[2]:
            second = _read(ct, indices, of_updates, params)
        if combine == "set":
            if needs[0]:
                first = scatter(ct, indices, zeros(of_updates.strong()), **params)
            if needs[2] and not params["unique"]:
                won = _winners(of_operand, indices, of_updates, params)
                second = comparison.select(won, second, np.zeros((), of_updates.dtype))
        elif combine == "mul":
            first = scatter(ct, indices, updates, **params) if needs[0] else None
            if needs[2]:
                second = arithmetic.mul(second, _read(operand, indices, of_updates, params))
        elif combine != "add":
            mine, theirs = _shares((operand, indices, updates), result, params)
            first = arithmetic.mul(ct, mine)
            second = arithmetic.mul(second, theirs) if needs[2] else None
        return [first if needs[0] else None, None, second]

    return out, pull


def _batch(
    frame: Any, flags: Sequence[bool], args: Sequence[Any], params: dict[str, Any]
) -> tuple[Any, bool]:
    """With the same indices throughout, the batch is one more whole axis of the window; else a batching
    axis."""
    n = params["dimension_numbers"]
    operand, indices, updates = args
    operand, updates = lift(frame.size, operand, flags[0]), lift(frame.size, updates, flags[2])
    windows, batching = shifted(n.update_window_dims), shifted(n.operand_batching_dims)
    row_batching = n.scatter_indices_batching_dims
    if flags[1]:
        batching, row_batching = (0, *batching), (0, *shifted(row_batching))
    else:
        windows = (0, *windows)
    numbers = ScatterDimensionNumbers(
        windows,
        shifted(n.inserted_window_dims),
        shifted(n.scatter_dims_to_operand_dims),
        batching,
        row_batching,
    )
    return scatter(operand, indices, updates, **{**params, "dimension_numbers": numbers}), True


def _pairs(args: Sequence[Any], params: dict[str, Any]) -> Pair:
    """Products: each update is multiplied by what is there, which takes distinct indices."""
    operand, indices, updates = as_pair(args[0]), args[1], as_pair(args[2])
    if params["combine"] == "mul":
        if not params["unique"]:
            raise UnsupportedError(
                'scatter with combine="mul" of complex numbers is compiled for distinct indices only, at '
                f"{describe(here())}: pass unique_indices=True if they are, or run it without jit"
            )
        aval = aval_of(updates.re)
        there = Pair(*[_read(part, indices, aval, params) for part in (operand.re, operand.imag)])
        updates, params = times(there, updates), _with(params, "set")
    re, im = (
        scatter(x, indices, u, **params) for x, u in ((operand.re, updates.re), (operand.imag, updates.imag))
    )
    return Pair(re, im)


# -- lowering ------------------------------------------------------------------------------------------------


def _windows_of(avals: Sequence[Any], params: dict[str, Any]) -> WindowMap:
    return window_map(avals[0].shape, avals[1].shape, avals[2].shape, params["dimension_numbers"])


def _write(b: Any, inputs: Sequence[Any], outputs: Sequence[Any], params: dict[str, Any]) -> None:
    _, indices, updates = inputs
    window_loops.write_scatter(
        b,
        _windows_of(inputs, params),
        [indices],
        updates,
        outputs[0],
        params["combine"],
        params["mode"] in ("drop", "fill"),
        params["unique"],
    )


def _samples() -> list[Sample]:
    rows = ScatterDimensionNumbers((1,), (0,), (0,))
    scalars = ScatterDimensionNumbers((), (0,), (0,))
    out = np.array([[2], [0], [5], [-1], [2]], np.int32)
    once = np.array([[2], [0], [7]], np.int32)
    pairs = np.array([[[0, 1], [2, 3]], [[2, 0], [9, 1]], [[-4, 2], [1, 1]]], np.int64)

    def p(
        numbers: ScatterDimensionNumbers, combine: str, mode: str = "drop", unique: bool = False
    ) -> dict[str, Any]:
        return {
            "dimension_numbers": numbers,
            "combine": combine,
            "mode": mode,
            "unique": unique,
            "sorted": False,
        }

    found = []
    for combine in ("set", "add", "min", "max"):
        found += [
            Sample((f"{code}[4,3]", out, f"{code}[5,3]"), p(rows, combine, mode))
            for code in ("f4", "i4")
            for mode in ("drop", "clip")
        ]
        found += [
            Sample((f"{code}[4,3]", out, f"{code}[5,3]"), p(rows, combine))
            for code in ("bf", "f2", "f8", "u1")
        ]
        found += [
            Sample(("f4[4]", out, "f4[5]"), p(scalars, combine)),
            Sample(
                ("f4[4,5,6]", pairs, "f4[3,2,2,3]"), p(ScatterDimensionNumbers((1, 3), (1,), (2, 0)), combine)
            ),
            Sample(
                ("f4[3,4,2]", np.array([[1], [9], [3]], np.int32), "f4[3,2]"),
                p(ScatterDimensionNumbers((1,), (1,), (1,), (0,), (0,)), combine),
            ),
        ]
    return [
        *found,
        Sample(("i4[4,3]", out, "i4[5,3]"), p(rows, "mul")),  # of floats: refused in the updates
        *[
            Sample((f"{code}[4,3]", once, f"{code}[3,3]"), p(rows, "mul", unique=True))
            for code in ("f4", "bf", "i4")
        ],
        *[Sample((f"{code}[4]", out, f"{code}[5]"), p(scalars, "set")) for code in ("b1", "key", "u8")],
        *[Sample(("c8[4,3]", out, "c8[5,3]"), p(rows, combine)) for combine in ("set", "add")],
        Sample(("c16[4,3]", once, "c16[3,3]"), p(rows, "mul", unique=True)),
        *[Sample(("b1[4]", out, "b1[5]"), p(scalars, combine)) for combine in ("min", "max")],
        Sample(("f4[4,3]", once, "f4[3,3]"), p(rows, "set", unique=True)),
        Sample(("f4[4,3]", out[:0], "f4[0,3]"), p(rows, "add")),
        Sample(("f4[4,0]", out, "f4[5,0]"), p(rows, "set")),
        Sample(
            ("f4[6,4]", np.array([[1], [3], [1]], np.uint8), "f4[6,3]"),
            p(ScatterDimensionNumbers((0,), (1,), (1,)), "add"),
        ),
        Sample(
            ("f4[5,6]", np.array([1, 2], np.int16), "f4[3,2]"),
            p(ScatterDimensionNumbers((0, 1), (), (1, 0)), "set"),
        ),
        Sample(
            ("f4[3,300]", np.array([[1], [2], [1]], np.int32), "f4[3,300]"),
            p(rows, "add", "promise_in_bounds"),
        ),
    ]


# combine: set, add, mul, min, max. mode, for windows that reach outside: "clip" moves them, "drop" (or
# "fill") leaves them out as a whole; "promise_in_bounds" says that there are none, and writes nothing outside
# if there are. unique: no two windows overlap (the caller's promise; they may then be written in any order);
# sorted: the indices ascend
scatter = Primitive(
    "scatter",
    pairs=_pairs,
    shape=_shape,
    evaluate=_evaluate,
    jvp=_jvp,
    vjp=_vjp,
    batch=_batch,
    lower=Kernel(
        _write,
        tiles=lambda ins, outs, params: window_loops.scatter_tiles(
            _windows_of(ins, params), params["unique"]
        ),
        cost=lambda ins, outs, params: 20.0 + ins[2].size * 1.2,
        in_place=((0, 0),),
    ),
    samples=_samples,
)
