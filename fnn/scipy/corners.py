"""Sums over the corners of the grid cells that points lie in: what interpolation between grid points is made of."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

from fnn import numpy as fnp


class Node(NamedTuple):
    """One neighbour of the points along one axis."""

    index: Any  # within the axis
    weight: Any  # None: 1
    inside: Any = None  # where False, the grid has no such node; None: True


def weighted(values: Any, axes: Sequence[Sequence[Node]], outside: Any = 0.0) -> Any:
    """The sum of values[i, j, ...] * weights over one node of each axis, over all ways to choose them.

    values: (n1, ..., nk, *rest) for k axes; the nodes' arrays have the points' shape p; result: (*p, *rest).
    outside: the value of nodes that are not inside."""
    total: Any = None
    for corner in itertools.product(*axes):
        term = values.at[tuple([n.index for n in corner])].get(mode="promise_in_bounds")
        rest = term.ndim - corner[0].index.ndim
        spread = lambda x, rest=rest: x.reshape(x.shape + (1,) * rest)
        if marks := [n.inside for n in corner if n.inside is not None]:
            term = fnp.where(spread(functools.reduce(operator.and_, marks)), term, outside)
        if weights := [n.weight for n in corner if n.weight is not None]:
            term = term * spread(functools.reduce(operator.mul, weights))
        total = term if total is None else total + term
    return total
