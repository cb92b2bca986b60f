"""Windows that slide over an array: reductions of them (pooling), and the selection of one element of each.

>>> import numpy as np
>>> x = np.array([3.0, 1.0, 2.0, 5.0], np.float32)
>>> reduce_window(
...     x, -np.inf, combine="max", window=(2,), strides=(1,), padding=((0, 0),),
...     base_dilation=(1,), window_dilation=(1,),
... ).tolist()
[3.0, 2.0, 5.0]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fnn import dtypes
from fnn.core.array import ConcreteArray
from fnn.core.aval import Aval, Shape
from fnn.core.lowering import Kernel
from fnn.core.primitive import Primitive, Sample
from fnn.core.source import describe, here
from fnn.core.trace import Tracer, aval_of
from fnn.errors import ArgumentError, DifferentiationError, ShapeError
from fnn.primitives import arithmetic, bitwise, windows_kernels
from fnn.primitives.convolution_shapes import dilated, padded
from fnn.primitives.rules import HALVES, check_kinds, lift, linear, zeros

Pairs = Sequence[tuple[int, int]]
KINDS = {"add": "iuf", "mul": "iuf", "max": "biuf", "min": "biuf"}


# -- types ---------------------------------------------------------------------------------------------------


def _windows_shape(
    name: str,
    x: Aval,
    window: Sequence[int],
    strides: Sequence[int],
    padding: Pairs,
    base_dilation: Sequence[int],
    window_dilation: Sequence[int],
) -> Shape:
    """The number of windows along every axis."""
    settings = {
        "window": window, "strides": strides, "padding": padding, "base_dilation": base_dilation,
        "window_dilation": window_dilation,
    }  # fmt: skip
    for what, given in settings.items():
        if len(given) != x.ndim:
            raise ShapeError(
                f"{name}: {what} has {len(given)} entries, {x} has {x.ndim} axes, at {describe(here())}"
            )
        if what != "padding" and any(g < 1 for g in given):
            raise ShapeError(f"{name}: {what} {tuple(given)} has an entry below 1, at {describe(here())}")
    shape = []
    for d, size in enumerate(x.shape):
        whole = dilated(size, base_dilation[d]) + sum(padding[d])
        if whole < 0:
            raise ShapeError(
                f"{name}: padding {tuple(padding[d])} takes more away than axis {d} of {x} has, at "
                f"{describe(here())}"
            )
        shape.append(max(0, (whole - dilated(window[d], window_dilation[d])) // strides[d] + 1))
    return tuple(shape)


def _reduce_shape(x: Aval, combine: str, **p: Any) -> Aval:
    if combine not in KINDS:
        raise ArgumentError(f"reduce_window: combine is one of {list(KINDS)}, not {combine!r}")
    check_kinds("reduce_window", (x,), KINDS[combine])
    return x.update(shape=_windows_shape("reduce_window", x, **p))


def _check_selection(name: str, source: Aval, operand: Aval, select: str) -> None:
    if select not in ("ge", "le"):
        raise ArgumentError(f"{name}: select is 'ge' (the largest) or 'le' (the smallest), not {select!r}")
    check_kinds(name, (source, operand), "iuf")


def _gather_shape(source: Aval, operand: Aval, select: str, **p: Any) -> Aval:
    name = "select_and_gather_add"
    _check_selection(name, source, operand, select)
    if source.shape != operand.shape:
        raise ShapeError(f"{name}: {source} and {operand} differ in shape, at {describe(here())}")
    return source.update(shape=_windows_shape(name, operand, **p))


def _scatter_shape(source: Aval, operand: Aval, select: str, **p: Any) -> Aval:
    name = "select_and_scatter_add"
    _check_selection(name, source, operand, select)
    windows = _windows_shape(name, operand, **p)
    if source.shape != windows:
        raise ShapeError(
            f"{name}: {operand} has windows {list(windows)}, the source is {source}, at {describe(here())}"
        )
    return source.update(shape=operand.shape)


# -- meaning -------------------------------------------------------------------------------------------------


def _elements(shape: Shape, p: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """For each element of a window, which elements of the padded array it is in all windows."""
    for tap in np.ndindex(*p["window"]):
        starts = [k * d for k, d in zip(tap, p["window_dilation"])]
        yield tuple([np.s_[k : k + (n - 1) * s + 1 : s] for k, n, s in zip(starts, shape, p["strides"])])


def _wide(x: Any) -> np.ndarray:
    x = np.asarray(x)
    return x.astype(np.float32) if x.dtype in HALVES else x


COMBINE = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


def _reduce_evaluate(x: Any, combine: str, **p: Any) -> np.ndarray:
    x = np.asarray(x)
    start = windows_kernels.identity(combine, x.dtype)
    shape = _windows_shape("reduce_window", Aval(x.shape, x.dtype), **p)
    wide = padded(_wide(x), p["padding"], p["base_dilation"], start)
    out = np.full(shape, start, wide.dtype)
    for elements in _elements(shape, p) if out.size else ():
        out = COMBINE[combine](out, wide[elements])
    return out.astype(x.dtype)


def _selected(operand: Any, select: str, shape: Shape, p: dict[str, Any]) -> np.ndarray:
    """The number of the selected element of each window, -1 where a window has none. Later elements win where
    `select` does not hold between the one before and them."""
    operand = _wide(operand)
    values = padded(operand, p["padding"], p["base_dilation"])
    present = padded(np.ones(operand.shape, bool), p["padding"], p["base_dilation"], False)
    best, chosen = np.zeros(shape, operand.dtype), np.full(shape, -1)
    stays = np.greater_equal if select == "ge" else np.less_equal
    for number, elements in enumerate(_elements(shape, p)):
        wins = present[elements] & ((chosen < 0) | ~stays(best, values[elements]))
        best, chosen = np.where(wins, values[elements], best), np.where(wins, number, chosen)
    return chosen


def _gather_evaluate(source: Any, operand: Any, select: str, **p: Any) -> np.ndarray:
    source = np.asarray(source)
    shape = _windows_shape("select_and_gather_add", Aval(source.shape, source.dtype), **p)
    out = np.zeros(shape, source.dtype)
    if out.size:
        chosen = _selected(operand, select, shape, p)
        wide = padded(source, p["padding"], p["base_dilation"])
        for number, elements in enumerate(_elements(shape, p)):
            out = np.where(chosen == number, wide[elements], out)
    return out


def _scatter_evaluate(source: Any, operand: Any, select: str, **p: Any) -> np.ndarray:
    source, operand = np.asarray(source), np.asarray(operand)
    wide = _wide(source)
    placed = padded(np.full(operand.shape, -1), p["padding"], p["base_dilation"], -1)
    places = padded(np.arange(operand.size).reshape(operand.shape), p["padding"], p["base_dilation"])
    out = np.zeros(operand.size, wide.dtype)
    if source.size and placed.size:
        chosen = _selected(operand, select, source.shape, p)
        for number, elements in enumerate(_elements(source.shape, p)):
            here_ = chosen == number
            np.add.at(out, places[elements][here_], wide[here_])
    return out.reshape(operand.shape).astype(source.dtype)


# -- rules ---------------------------------------------------------------------------------------------------


def _lifted(p: dict[str, Any]) -> dict[str, Any]:
    """The parameters below a batch axis in front."""
    return {
        **p,
        **{k: (1, *p[k]) for k in ("window", "strides", "base_dilation", "window_dilation")},
        "padding": ((0, 0), *p["padding"]),
    }


def _batch(name: str) -> Callable[..., Any]:
    def batch(frame: Any, flags: Sequence[bool], args: Sequence[Any], p: dict[str, Any]) -> tuple[Any, bool]:
        lifted = [lift(frame.size, a, f) for a, f in zip(args, flags)]
        return _BY_NAME[name](*lifted, **_lifted(p)), True

    return batch


def _transposed_sum(ct: Any, x: Aval, p: dict[str, Any]) -> Any:
    """Each element's cotangent: the sum over the windows that hold it, which is a sum over windows of the
    cotangent, strides and dilation of the array swapped."""
    shape, padding = aval_of(ct).shape, []
    for d, size in enumerate(x.shape):
        window = dilated(p["window"][d], p["window_dilation"][d])
        image, result = dilated(size, p["base_dilation"][d]), dilated(shape[d], p["strides"][d])
        before = window - p["padding"][d][0] - 1
        padding.append((before, image + window - 1 - result - before))
    if 0 in shape or 0 in x.shape:
        return zeros(x.strong())
    swapped = {
        **p, "strides": p["base_dilation"], "base_dilation": p["strides"], "padding": tuple(padding)
    }  # fmt: skip
    return window_reduction(ct, **swapped)


_SELECT = {"max": "ge", "min": "le"}


def _refuse_mul() -> DifferentiationError:
    return DifferentiationError(
        f'reduce_window with combine="mul" has no derivative, at {describe(here())}: multiply slices of the '
        "array, or exponentiate a sum of logarithms"
    )


def _selection(p: dict[str, Any]) -> dict[str, Any]:
    if p["combine"] == "mul":
        raise _refuse_mul()
    return {**{k: v for k, v in p.items() if k != "combine"}, "select": _SELECT[p["combine"]]}


def _reduce_jvp(primals: Sequence[Any], tangents: Sequence[Any], p: dict[str, Any]) -> tuple[Any, Any]:
    (x,), (t,) = primals, tangents
    out = window_reduction(x, **p)
    if t is None:
        return out, None
    if p["combine"] == "add":
        return out, window_reduction(t, **p)
    return out, select_and_gather_add(t, x, **_selection(p))


def _reduce_vjp(needs: Sequence[bool], args: Sequence[Any], p: dict[str, Any]) -> tuple[Any, Any]:
    (x,) = args
    out = window_reduction(x, **p)
    if not needs[0]:
        return out, None
    if p["combine"] == "add":
        aval = aval_of(x)
        return out, lambda ct: [_transposed_sum(ct, aval, p)]
    selection = _selection(p)
    return out, lambda ct: [select_and_scatter_add(ct, x, **selection)]


# -- lowering ------------------------------------------------------------------------------------------------


def _cost(work: int) -> float:
    return 20.0 + 0.3 * work


def _write_reduction(b: Any, inputs: Sequence[Any], outputs: Sequence[Any], p: dict[str, Any]) -> None:
    (x,), (out,) = inputs, outputs
    dtype = (
        np.dtype(np.float32) if x.dtype in ("bf", "f2") else np.dtype(bool if x.dtype == "b1" else x.dtype)
    )
    layout = windows_kernels.Layout.of(x.shape, out.shape, p)
    start = windows_kernels.identity(p["combine"], dtype)
    start = float(start) if dtype.kind == "f" else start
    windows_kernels.write_reduction(b, layout, x.buffer, out.buffer, p["combine"], start)


def _reduction_layout(ins: Sequence[Aval], outs: Sequence[Aval], p: dict[str, Any]) -> windows_kernels.Layout:
    return windows_kernels.Layout.of(ins[0].shape, outs[0].shape, p)


def _gather_layout(ins: Sequence[Any], outs: Sequence[Any], p: dict[str, Any]) -> windows_kernels.Layout:
    return windows_kernels.Layout.of(ins[1].shape, outs[0].shape, p)


def _scatter_layout(ins: Sequence[Any], outs: Sequence[Any], p: dict[str, Any]) -> windows_kernels.Layout:
    return windows_kernels.Layout.of(ins[1].shape, ins[0].shape, p)


def _write_gather(b: Any, inputs: Sequence[Any], outputs: Sequence[Any], p: dict[str, Any]) -> None:
    source, operand, out = inputs[0].buffer, inputs[1].buffer, outputs[0].buffer
    layout = _gather_layout(inputs, outputs, p)
    windows_kernels.write_gather(b, layout, source, operand, out, p["select"])


def _write_scatter(b: Any, inputs: Sequence[Any], outputs: Sequence[Any], p: dict[str, Any]) -> None:
    source, operand, out = inputs[0].buffer, inputs[1].buffer, outputs[0].buffer
    layout = _scatter_layout(inputs, outputs, p)
    windows_kernels.write_scatter(b, layout, source, operand, out, p["select"])


# -- samples -------------------------------------------------------------------------------------------------


def _p(
    window: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Pairs | None = None,
    base_dilation: Sequence[int] | None = None,
    window_dilation: Sequence[int] | None = None,
) -> dict[str, Any]:
    n = len(window)
    return {
        "window": tuple(window),
        "strides": tuple(strides or (1,) * n),
        "padding": tuple(padding or ((0, 0),) * n),
        "base_dilation": tuple(base_dilation or (1,) * n),
        "window_dilation": tuple(window_dilation or (1,) * n),
    }


# shape of the array, shape of the windows, parameters
_CASES = [
    ("2,4,6,3", "2,2,3,3", _p((1, 2, 2, 1), (1, 2, 2, 1))),
    ("2,3,5,7", "2,3,3,4", _p((1, 1, 3, 3), (1, 1, 2, 2), ((0, 0), (0, 0), (1, 1), (1, 1)))),
    ("5,4", "5,3", _p((3, 2), None, ((1, 1), (0, 0)))),
    ("6,5", "4,2", _p((2, 3), (2, 2), ((1, 2), (-1, 2)), None, (2, 1))),
    ("4,3,2", "5,5,2", _p((3, 2, 1), (1, 1, 1), ((0, 0), (1, 0), (0, 0)), (2, 2, 1))),
    ("5", "4", _p((2,))),
    ("4", "4", _p((1,))),
    ("", "", _p(())),
    ("2,0", "2,0", _p((1, 2))),
    ("3,2", "0,2", _p((4, 1))),
]


def _reductions() -> list[Sample]:
    found = [
        Sample((f"f4[{shape}]",), {**p, "combine": combine})
        for combine in ("add", "max", "min")
        for shape, _, p in _CASES
    ]
    found += [
        Sample((f"{code}[4,5]",), {**_p((2, 3), (1, 2), ((0, 1), (1, 1))), "combine": combine})
        for combine in KINDS
        for code in ("i4", "u1")
    ]
    found += [Sample(("b1[4,5]",), {**_p((2, 2)), "combine": combine}) for combine in ("max", "min")]
    nan = np.array([1, np.nan, 3, -np.inf, -np.inf, 2, 2], np.float32)
    found += [
        Sample((nan,), {**_p((2,)), "combine": combine}, differentiate=False) for combine in ("max", "min")
    ]
    # derivatives are refused
    found.append(
        Sample(("f4[4,5]",), {**_p((2, 3), None, ((0, 1), (1, 1))), "combine": "mul"}, differentiate=False)
    )
    return found


def _selections(scatter: bool) -> list[Sample]:
    found = [
        Sample((f"f4[{windows if scatter else shape}]", f"f4[{shape}]"), {**p, "select": select})
        for select in ("ge", "le")
        for shape, windows, p in _CASES
    ]
    ties = np.array([1, 1, 2, 2, 2, 0, 0, -np.inf, -np.inf], np.float32)
    found.append(
        Sample(("f4[8]" if scatter else "f4[9]", ties), {**_p((2,)), "select": "ge"}, differentiate=False)
    )
    found.append(Sample(("i4[3]" if scatter else "i4[4]", "i4[4]"), {**_p((2,)), "select": "ge"}))
    return found


# -- the primitives ------------------------------------------------------------------------------------------

# the elements of each window combined; padding and dilation add nothing, a window of them alone gives the
# combiner's identity
window_reduction = Primitive(
    "reduce_window",
    shape=_reduce_shape,
    evaluate=_reduce_evaluate,
    jvp=_reduce_jvp,
    vjp=_reduce_vjp,
    batch=_batch("reduce_window"),
    lower=Kernel(
        _write_reduction,
        lambda ins, outs, p: windows_kernels.window_tiles(_reduction_layout(ins, outs, p)),
        lambda ins, outs, p: _cost(_reduction_layout(ins, outs, p).work),
    ),
    samples=_reductions,
)

# of each window, the element of the first operand at which the second is largest ("ge": the first of those)
# or smallest ("le"); linear in the first. Its transpose adds to those places.
select_and_gather_add = linear(
    "select_and_gather_add",
    shape=_gather_shape,
    evaluate=_gather_evaluate,
    transpose=lambda ct, i, avals, args, p: select_and_scatter_add(ct, args[1], **p),
    batch=_batch("select_and_gather_add"),
    lower=Kernel(
        _write_gather,
        lambda ins, outs, p: windows_kernels.window_tiles(_gather_layout(ins, outs, p)),
        lambda ins, outs, p: _cost(_gather_layout(ins, outs, p).work),
    ),
    samples=lambda: _selections(scatter=False),
)

select_and_scatter_add = linear(
    "select_and_scatter_add",
    shape=_scatter_shape,
    evaluate=_scatter_evaluate,
    transpose=lambda ct, i, avals, args, p: select_and_gather_add(ct, args[1], **p),
    batch=_batch("select_and_scatter_add"),
    lower=Kernel(
        _write_scatter,
        lambda ins, outs, p: windows_kernels.scatter_tiles(_scatter_layout(ins, outs, p)),
        lambda ins, outs, p: _cost(3 * _scatter_layout(ins, outs, p).work),
    ),
    samples=lambda: _selections(scatter=True),
)

_BY_NAME = {p.name: p for p in (window_reduction, select_and_gather_add, select_and_scatter_add)}


# -- with a start value --------------------------------------------------------------------------------------


def reduce_window(
    x: Any,
    init: Any,
    *,
    combine: str,
    window: Sequence[int],
    strides: Sequence[int],
    padding: Pairs,
    base_dilation: Sequence[int],
    window_dilation: Sequence[int],
) -> Any:
    """The elements of each window combined with `init`, once; padding and dilation add nothing.

    x: an array of any shape; init: a scalar of its dtype; combine: "add", "mul", "max" or "min". All others
    have one entry per axis; padding: pairs, below 0 they cut. Linear for "add"; the derivative of "max" and
    "min" goes to the first winner in the window. Raises ShapeError for entries that do not fit."""
    p = {
        "combine": combine,
        "window": tuple(window),
        "strides": tuple(strides),
        "padding": tuple([tuple(pair) for pair in padding]),
        "base_dilation": tuple(base_dilation),
        "window_dilation": tuple(window_dilation),
    }
    aval = aval_of(x)
    if combine not in KINDS:
        raise ArgumentError(f"reduce_window: combine is one of {list(KINDS)}, not {combine!r}")
    if _is_identity(init, combine, aval.dtype):
        return window_reduction(x, **p)
    by = {"add": arithmetic.add, "mul": arithmetic.mul, "max": arithmetic.max, "min": arithmetic.min}
    if aval.dtype.kind == "b":
        by |= {"max": bitwise.or_, "min": bitwise.and_}
    return by[combine](window_reduction(x, **p), init)


def _is_identity(init: Any, combine: str, dtype: np.dtype) -> bool:
    """Whether it is known now that a start value changes nothing. Of floats, the least finite number does not
    count as minus infinity."""
    if isinstance(init, Tracer):
        return False
    value = init.value if isinstance(init, ConcreteArray) else init
    kind = np.dtype(np.float32) if dtypes.is_float(dtype) else dtype
    return bool(np.asarray(value) == windows_kernels.identity(combine, kind))
