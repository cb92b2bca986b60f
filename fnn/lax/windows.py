"""Reductions over sliding windows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from fnn import primitives as P
from fnn import tree
from fnn.core.array import Array, as_array
from fnn.core.source import describe, here
from fnn.errors import ShapeError, TreeError
from fnn.lax.padding import explicit_pads
from fnn.lax.reducing import combiner, initial, reduce
from fnn.lax.structure import pad


def reduce_window(
    operand: Any,
    init_value: Any,
    computation: Callable[[Any, Any], Any],
    window_dimensions: Sequence[int],
    window_strides: Sequence[int] | None = None,
    padding: str | Sequence[tuple[int, int]] = "VALID",
    base_dilation: Sequence[int] | None = None,
    window_dilation: Sequence[int] | None = None,
) -> Any:
    """The elements of each window, and init_value, combined by an associative function of two scalars.

    operand may be a pytree of arrays of one shape, init_value one of scalars, as for `reduce`. window_dimensions, strides
    and dilations have one number per axis, strides 1 by default. Padding stands for init_value.

    Raises ShapeError where their number is another."""
    leaves, structure = tree.flatten(operand)
    starts, same = tree.flatten(init_value)
    if structure != same or not leaves:
        raise TreeError(
            f"lax.reduce_window: operand is {structure}, init_value {same}, at {describe(here())}"
        )
    xs = [as_array(x) for x in leaves]
    values = [initial("lax.reduce_window", x, s) for x, s in zip(xs, starts, strict=True)]
    window, strides, base, holes = (
        _per_axis(what, given, xs[0])
        for what, given in (
            ("window_dimensions", window_dimensions),
            ("window_strides", window_strides),
            ("base_dilation", base_dilation),
            ("window_dilation", window_dilation),
        )
    )
    spread = [n if n == 0 else (n - 1) * k + 1 for n, k in zip(xs[0].shape, base, strict=True)]
    reach = [(n - 1) * k + 1 for n, k in zip(window, holes, strict=True)]
    pads = explicit_pads("reduce_window", spread, reach, strides, padding)
    name = combiner(computation, xs[0]) if structure == tree.structure(0) else None
    if name in ("add", "mul", "max", "min") and xs[0].dtype.kind != "c":
        return P.reduce_window(
            xs[0],
            values[0],
            combine=name,
            window=window,
            strides=strides,
            padding=pads,
            base_dilation=base,
            window_dilation=holes,
        )
    config = [(low, high, k - 1) for (low, high), k in zip(pads, base, strict=True)]
    counts = [
        max((n + low + high - r) // s + 1, 0)
        for n, (low, high), r, s in zip(spread, pads, reach, strides, strict=True)
    ]
    stacks = []
    for x, value in zip(xs, values, strict=True):
        whole = pad(x, value, config)
        stacks.append(_places(whole, window, strides, holes, counts))
    return reduce(tree.unflatten(structure, stacks), init_value, computation, (0,))


def _places(x: Array, window: Any, strides: Any, holes: Any, counts: Sequence[int]) -> Array:
    """For every place of a window the elements that all windows have there, stacked along a leading axis."""
    if 0 in counts:
        return P.broadcast(as_array(0), shape=(0, *counts), axes=()).astype(x.dtype)
    parts = []
    for place in itertools.product(*map(range, window)):
        start = tuple(p * k for p, k in zip(place, holes, strict=True))
        limit = tuple(a + (n - 1) * s + 1 for a, n, s in zip(start, counts, strides, strict=True))
        parts.append(P.reshape(P.slice(x, start=start, limit=limit, step=strides), shape=(1, *counts)))
    return P.concatenate(*parts, axis=0)


def _per_axis(what: str, given: Sequence[int] | None, x: Array) -> tuple[int, ...]:
    out = (1,) * x.ndim if given is None else tuple([int(n) for n in given])
    if len(out) != x.ndim or any(n < 1 for n in out):
        raise ShapeError(
            f"lax.reduce_window: {what} {out} for {x.aval}, at {describe(here())}; one positive number per axis"
        )
    return out


__all__ = ["reduce_window"]
