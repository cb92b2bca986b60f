"""associative_scan: all prefixes of an associative operation, in a logarithmic number of steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fnn import primitives as P
from fnn import tree
from fnn.core.source import function_place
from fnn.core.tracebacks import filtered
from fnn.errors import ArgumentError, ShapeError
from fnn.transforms.flattening import flatten_arguments


@filtered
def associative_scan(fn: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0) -> Any:
    """fn(elems[0], fn(elems[1], ...)) for every prefix along an axis; fn is associative and works on whole
    slices.

    elems: an array or a pytree of arrays of one length along the axis. The recursion halves the problem
    (Blelloch 1990): pairs are combined, their prefixes computed, and the elements in between filled in.

    >>> import fnn, fnn.numpy as fnp
    >>> print(fnn.lax.associative_scan(fnp.add, fnp.arange(5)))
    [ 0  1  3  6 10]
    """
    if not callable(fn):
        raise ArgumentError("associative_scan is called as associative_scan(fn, elems)")
    leaves, structure = flatten_arguments("associative_scan", elems)
    if not leaves:
        return elems
    if any(not -x.ndim <= axis < x.ndim for x in leaves):
        raise ShapeError(f"associative_scan: axis {axis} of {', '.join(str(x.aval) for x in leaves)}")
    axes = [axis % x.ndim for x in leaves]
    sizes = {x.shape[a] for x, a in zip(leaves, axes, strict=True)}
    if len(sizes) != 1:
        raise ShapeError(f"associative_scan: lengths {sorted(sizes)} along axis {axis} differ")
    if reverse:
        leaves = [P.rev(x, axes=(a,)) for x, a in zip(leaves, axes, strict=True)]

    def combine(xs: list[Any], ys: list[Any]) -> list[Any]:
        out, same = flatten_arguments(
            "associative_scan", fn(tree.unflatten(structure, xs), tree.unflatten(structure, ys))
        )
        if same != structure:
            raise ArgumentError(
                f"associative_scan: {function_place(fn)} returns {same} for operands {structure}"
            )
        return out

    def cut(x: Any, a: int, start: int, limit: int | None, step: int = 1) -> Any:
        shape = x.shape
        lo, hi = [0] * len(shape), list(shape)
        lo[a], hi[a] = start, shape[a] if limit is None else limit
        stride = tuple(step if d == a else 1 for d in range(len(shape)))
        return P.slice(x, start=tuple(lo), limit=tuple(hi), step=stride)

    def every(xs: list[Any], *args: Any) -> list[Any]:
        return [cut(x, a, *args) for x, a in zip(xs, axes, strict=True)]

    def interleave(even: Any, odd: Any, a: int) -> Any:
        n = even.shape[a] + odd.shape[a]

        def spaced(x: Any, first: int) -> Any:
            rank, last = x.ndim, n - first - (2 * x.shape[a] - 1)
            low = tuple(first if d == a else 0 for d in range(rank))
            high = tuple(last if d == a else 0 for d in range(rank))
            return P.pad(
                x, np.zeros((), x.dtype), low=low, high=high, interior=tuple(int(d == a) for d in range(rank))
            )

        if even.dtype.kind in "fiu" and not even.dtype.names:
            return P.add(spaced(even, 0), spaced(odd, 1))
        position = P.iota(
            dtype=np.dtype("int32"), shape=(*even.shape[:a], n, *even.shape[a + 1 :]), dimension=a
        )
        return P.select(P.eq(P.rem(position, np.int32(2)), np.int32(0)), spaced(even, 0), spaced(odd, 1))

    def prefixes(xs: list[Any]) -> list[Any]:
        n = xs[0].shape[axes[0]]
        if n < 2:
            return xs
        pairs = combine(every(xs, 0, n - 1, 2), every(xs, 1, n, 2))
        odd = prefixes(pairs)
        rest = every(xs, 2, n, 2)
        between = every(odd, 0, odd[0].shape[axes[0]] - 1 if n % 2 == 0 else None)
        later = combine(between, rest) if n > 2 else []
        even = (
            [P.concatenate(cut(x, a, 0, 1), y, axis=a) for x, y, a in zip(xs, later, axes, strict=True)]
            if later
            else every(xs, 0, 1)
        )
        return [interleave(e, o, a) for e, o, a in zip(even, odd, axes, strict=True)]

    out = prefixes(leaves)
    if reverse:
        out = [P.rev(x, axes=(a,)) for x, a in zip(out, axes, strict=True)]
    return tree.unflatten(structure, out)
