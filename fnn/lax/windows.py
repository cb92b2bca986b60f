"""Reductions over sliding windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fnn import primitives as P
from fnn import tree
from fnn.core.array import Array, ConcreteArray, as_array, from_numpy
from fnn.core.source import describe, here
from fnn.errors import ArgumentError, DtypeError, ShapeError
from fnn.lax.padding import explicit_pads
from fnn.lax.structure import combiner


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
    """The elements of each window, and init_value, combined by lax.add, mul, max or min (or a function that is one).

    operand may be a pytree, init_value then one of the same structure. window_dimensions, strides and dilations have one
    number per axis, strides 1 by default. Padding stands for init_value.

    Raises ShapeError where their number is another, ArgumentError for other computations."""

    def one(x: Any, start: Any) -> Array:
        x, start = as_array(x), as_array(start)
        name = combiner("lax.reduce_window", computation, x.dtype)
        if name not in ("add", "mul", "max", "min"):
            raise ArgumentError(f"lax.reduce_window takes lax.add, mul, max or min, at {describe(here())}")
        if start.shape:
            raise ShapeError(
                f"lax.reduce_window: init_value is a scalar, not {start.aval}, at {describe(here())}"
            )
        if start.dtype != x.dtype:
            if not start.weak_type:
                raise DtypeError(
                    f"lax.reduce_window: init_value is {start.aval} for {x.aval}, at {describe(here())}; "
                    "convert it"
                )
            # A known number stays one inside of a trace, so that it is seen to change nothing.
            known = isinstance(start, ConcreteArray)
            start = from_numpy(start.value, x.dtype) if known else P.convert(start, dtype=x.dtype)
        window, strides, base, holes = (
            _per_axis(what, given, x)
            for what, given in (
                ("window_dimensions", window_dimensions),
                ("window_strides", window_strides),
                ("base_dilation", base_dilation),
                ("window_dilation", window_dilation),
            )
        )
        spread = [n if n == 0 else (n - 1) * k + 1 for n, k in zip(x.shape, base, strict=True)]
        reach = [(n - 1) * k + 1 for n, k in zip(window, holes, strict=True)]
        pads = explicit_pads("reduce_window", spread, reach, strides, padding)
        return P.reduce_window(
            x,
            start,
            combine=name,
            window=window,
            strides=strides,
            padding=pads,
            base_dilation=base,
            window_dilation=holes,
        )

    return tree.map(one, operand, init_value)


def _per_axis(what: str, given: Sequence[int] | None, x: Array) -> tuple[int, ...]:
    out = (1,) * x.ndim if given is None else tuple([int(n) for n in given])
    if len(out) != x.ndim or any(n < 1 for n in out):
        raise ShapeError(
            f"lax.reduce_window: {what} {out} for {x.aval}, at {describe(here())}; one positive number per axis"
        )
    return out


__all__ = ["reduce_window"]
