"""map: a function over the elements of an axis, one after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fnn import primitives as P
from fnn import tree
from fnn.core.array import as_array
from fnn.transforms.batching import vmap
from fnn.transforms.scan import named, scan


def map(f: Callable[[Any], Any], xs: Any, *, batch_size: int | None = None) -> Any:
    """f over the leading axis of xs, one element after another (vmap computes them all at once).

    batch_size: that many elements at a time, vectorised; the rest after them.

    >>> import fnn, fnn.numpy as fnp
    >>> print(fnn.lax.map(lambda x: x * x, fnp.arange(3.0)))
    [0. 1. 4.]
    """
    if batch_size is None:
        return scan(named(lambda _, x: (None, f(x)), f), None, xs)[1]
    leaves = tree.leaves(xs)
    n = as_array(leaves[0]).shape[0]
    whole = n - n % batch_size

    def cut(x: Any, lo: int, hi: int) -> Any:
        x = as_array(x)
        return P.slice(x, start=(lo,) + (0,) * (x.ndim - 1), limit=(hi, *x.shape[1:]), step=(1,) * x.ndim)

    parts = []
    if whole:
        blocks = tree.map(
            lambda x: P.reshape(
                cut(x, 0, whole), shape=(whole // batch_size, batch_size, *as_array(x).shape[1:])
            ),
            xs,
        )
        ys = scan(named(lambda _, x: (None, vmap(f)(x)), f), None, blocks)[1]
        parts.append(tree.map(lambda y: P.reshape(y, shape=(whole, *y.shape[2:])), ys))
    if n % batch_size or not whole:
        parts.append(vmap(f)(tree.map(lambda x: cut(x, whole, n), xs)))
    return parts[0] if len(parts) == 1 else tree.map(lambda a, b: P.concatenate(a, b, axis=0), *parts)
