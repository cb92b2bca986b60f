"""Checking derivatives against finite differences.

>>> import fnn.numpy as fnp
>>> from fnn.test_util import check_grads
>>> check_grads(lambda x: fnp.sin(x) * x, (0.5,), order=2)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from fnn import dtypes, tree
from fnn.core.array import as_array, from_numpy
from fnn.core.source import function_place
from fnn.errors import ArgumentError
from fnn.transforms.differentiate import jvp, vjp

__all__ = ["check_grads", "check_jvp", "check_vjp"]

# How far a derivative may be from the difference quotient, and the step of the quotient, by the bits of the coarsest leaf.
_TOLERANCE = {16: (1e-1, 1e-1), 32: (2e-3, 1e-3), 64: (1e-5, 1e-5)}


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int,
    modes: Sequence[str] = ("fwd", "rev"),
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
) -> None:
    """Compare the derivatives of f at args, up to an order, with central differences along random directions.

    Args:
        f: a function of arrays (or pytrees of them).
        args: where; floating leaves are varied.
        order: 1 for first derivatives, 2 for those of the derivatives too, ...
        modes: "fwd" (jvp), "rev" (vjp) or both.
        atol, rtol: absolute and relative tolerances; by default they follow the dtypes.
        eps: the step of the differences.

    Raises:
        AssertionError: a derivative is off; the message says which, and by how much.
    """
    for mode in modes:
        if mode not in ("fwd", "rev"):
            raise ArgumentError(f"check_grads: the modes are 'fwd' and 'rev', not {mode!r}")
    args = tuple(args)
    if "fwd" in modes:
        check_jvp(f, partial(jvp, f), args, atol, rtol, eps)
    if "rev" in modes:
        check_vjp(f, partial(vjp, f), args, atol, rtol, eps)
    if order > 1:
        if "fwd" in modes:
            check_grads(lambda *a: jvp(f, a, _direction(a, 3)), args, order - 1, modes, atol, rtol, eps)
        if "rev" in modes:
            out_shape = tree.map(as_array, f(*args))

            def pulled(*given: Any) -> list[Any]:
                found = tree.leaves(vjp(f, *given)[1](_direction(out_shape, 4)))
                return [x for x in found if x.dtype != dtypes.float0]

            check_grads(pulled, args, order - 1, modes, atol, rtol, eps)


def check_jvp(
    f: Callable[..., Any],
    f_jvp: Callable[[Any, Any], tuple[Any, Any]],
    args: Sequence[Any],
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
    err_msg: str = "",
) -> None:
    """Compare f_jvp(primals, tangents) with f's value and its central difference."""
    args = tuple(args)
    step = eps or _limits(args)[1]
    direction = _direction(args, 1)
    out, tangent = f_jvp(args, direction)
    where = f"jvp of {function_place(f)}{': ' + err_msg if err_msg else ''}"
    _compare(where + ", the value", out, f(*args), atol, rtol)
    _compare(where, tangent, _difference(f, args, direction, step), atol, rtol)


def check_vjp(
    f: Callable[..., Any],
    f_vjp: Callable[..., tuple[Any, Callable[[Any], Any]]],
    args: Sequence[Any],
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
    err_msg: str = "",
) -> None:
    """Compare the pull-back of f_vjp(*primals) with f's central difference: both as the same inner product."""
    args = tuple(args)
    step = eps or _limits(args)[1]
    direction = _direction(args, 1)
    out, pull = f_vjp(*args)
    where = f"vjp of {function_place(f)}{': ' + err_msg if err_msg else ''}"
    _compare(where + ", the value", out, f(*args), atol, rtol)
    cotangent = _direction(tree.map(as_array, out), 2)
    pulled = pull(cotangent)
    expected = _inner(cotangent, _difference(f, args, direction, step))
    _compare(where, _inner(pulled, direction), expected, atol, rtol)


def _floating(x: Any) -> bool:
    return getattr(x, "dtype", None) != dtypes.float0 and dtypes.kind(as_array(x).dtype) in "fc"


def _limits(values: Any) -> tuple[float, float]:
    """(tolerance, step) of the coarsest floating leaf."""
    bits = [dtypes.finfo(as_array(x).dtype).bits for x in tree.leaves(values) if _floating(x)]
    return _TOLERANCE[min(bits, default=64)]


def _direction(values: Any, seed: int) -> Any:
    """Random numbers of the leaves' shapes and dtypes; what a leaf that is no float has as its tangent."""
    draw = np.random.default_rng(seed)

    def one(x: Any) -> Any:
        x = as_array(x)
        if not _floating(x):
            return np.zeros(x.shape, dtypes.float0)
        numbers = draw.standard_normal(x.shape)
        if dtypes.kind(x.dtype) == "c":
            numbers = numbers + 1j * draw.standard_normal(x.shape)
        return from_numpy(numbers, x.dtype)

    return tree.map(one, values)


def _difference(f: Callable[..., Any], args: tuple, direction: Any, step: float) -> Any:
    """(f(args + step direction) - f(args - step direction)) / (2 step), in NumPy."""

    def moved(sign: float) -> Any:
        def one(x: Any, d: Any) -> Any:
            if not _floating(x):
                return x
            dtype = as_array(x).dtype
            return from_numpy(np.asarray(x) + (sign * step * np.asarray(d)).astype(dtype), dtype)

        return f(*tree.map(one, args, direction))

    def quotient(high: Any, low: Any) -> Any:
        if not _floating(high):
            return np.zeros(np.shape(high), dtypes.float0)
        wide = np.complex128 if dtypes.kind(as_array(high).dtype) == "c" else np.float64
        return (np.asarray(high).astype(wide) - np.asarray(low).astype(wide)) / (2 * step)

    return tree.map(quotient, moved(1.0), moved(-1.0))


def _inner(a: Any, b: Any) -> float:
    pairs = zip(tree.leaves(a), tree.leaves(b), strict=True)
    products = [
        np.sum(np.asarray(x).astype(np.complex128) * np.asarray(y).astype(np.complex128))
        for x, y in pairs
        if np.asarray(x).dtype != dtypes.float0 and np.asarray(y).dtype != dtypes.float0
    ]
    return float(np.real(sum(products)))


def _compare(where: str, got: Any, expected: Any, atol: float | None, rtol: float | None) -> None:
    default = _limits(got)[0]
    for (path, a), b in zip(tree.leaves_with_path(got), tree.leaves(expected), strict=True):
        if np.asarray(a).dtype == dtypes.float0:
            continue
        wide = np.complex128 if dtypes.kind(as_array(a).dtype) == "c" else np.float64
        x, y = np.asarray(a).astype(wide), np.asarray(b).astype(wide)
        scale = 1.0 + float(np.max(np.abs(y), initial=0.0)) if rtol is None and atol is None else 1.0
        np.testing.assert_allclose(
            x,
            y,
            rtol=default if rtol is None else rtol,
            atol=default * scale if atol is None else atol,
            err_msg=f"{where}{' at ' + tree.keystr(path) if path else ''}: not the finite difference",
        )
