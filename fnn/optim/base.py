"""Gradient transformations: the contract of optimisers, and how they are put together.

A gradient transformation is a pair of pure functions over pytrees: `init(params)` makes its state, and
`update(gradients, state, params)` returns (updates, new state). `apply_updates` adds updates to parameters. Everything
works under `fnn.jit`.

>>> import fnn, fnn.numpy as fnp
>>> descent = chain(scale(2.0), scale(-0.5))
>>> params = {"w": fnp.array([1.0, 2.0])}
>>> updates, state = descent.update({"w": fnp.array([0.5, 0.5])}, descent.init(params), params)
>>> print(apply_updates(params, updates)["w"])
[0.5 1.5]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fnn import lax, tree
from fnn import numpy as fnp
from fnn.core.array import Array, as_array
from fnn.core.source import describe, here
from fnn.errors import ArgumentError

PyTree = Any
Schedule = Callable[[Any], Any]  # step number (an int32 scalar, from 0) -> a number


class GradientTransformation(NamedTuple):
    """init(params) -> state; update(gradients, state, params=None) -> (updates, state)."""

    init: Callable[[PyTree], PyTree]
    update: Callable[..., tuple[PyTree, PyTree]]


class EmptyState(NamedTuple):
    """The state of a transformation without one."""


class ScheduleState(NamedTuple):
    """count: updates made so far, an int32 scalar."""

    count: Array  # type: ignore[assignment]  # optax's name, which hides the method of tuples


def stateless(f: Callable[[PyTree, PyTree], PyTree]) -> GradientTransformation:
    """A transformation without state: f(gradients, params) -> updates."""
    return GradientTransformation(
        lambda params: EmptyState(), lambda g, state, params=None: (f(g, params), state)
    )


def identity() -> GradientTransformation:
    """Updates that are the gradients."""
    return stateless(lambda g, params: g)


def chain(*transformations: GradientTransformation) -> GradientTransformation:
    """One transformation after the other; its state is the tuple of theirs.

    >>> import fnn.numpy as fnp
    >>> optimizer = chain(clip_by_global_norm(1.0), scale(-0.5))
    >>> w = fnp.array([3.0, 4.0])
    >>> print(optimizer.update(w, optimizer.init(w))[0])
    [-0.3 -0.4]
    """

    def init(params: PyTree) -> tuple:
        return tuple([t.init(params) for t in transformations])

    def update(gradients: PyTree, state: tuple, params: PyTree = None) -> tuple[PyTree, tuple]:
        if len(state) != len(transformations):
            raise ArgumentError(
                f"optim.chain of {len(transformations)} transformations got the state of {len(state)}, at "
                f"{describe(here())}; make it with init(params)"
            )
        states = []
        for t, s in zip(transformations, state, strict=True):
            gradients, s = t.update(gradients, s, params)
            states.append(s)
        return gradients, tuple(states)

    return GradientTransformation(init, update)


def apply_updates(params: PyTree, updates: PyTree) -> PyTree:
    """params + updates, leaf by leaf, in the dtypes of params.

    >>> import fnn.numpy as fnp
    >>> apply_updates({"w": fnp.ones(2)}, {"w": fnp.array([0.5, -1.0])})
    {'w': Array([1.5, 0. ], dtype=float32)}
    """

    def one(p: Any, u: Any) -> Any:
        p = as_array(p)
        out = p + u
        return out if out.dtype == p.dtype else out.astype(p.dtype)

    return tree.map(one, params, updates)


def next_count(count: Any) -> Array:
    """count + 1, staying at the greatest int32."""
    most = np.int32(np.iinfo(np.int32).max)
    return fnp.where(count < most, count + np.int32(1), most)


def zeros_like(params: PyTree, dtype: Any = None) -> PyTree:
    """A tree of zeros in the shapes of params."""
    return tree.map(lambda p: fnp.zeros_like(as_array(p), dtype=dtype), params)


def scale(factor: Any) -> GradientTransformation:
    """Updates times a number."""
    return stateless(lambda g, params: tree.map(lambda x: x * factor, g))


def scale_by_schedule(step_size: Schedule) -> GradientTransformation:
    """Updates times step_size(number of updates made so far)."""

    def update(
        gradients: PyTree, state: ScheduleState, params: PyTree = None
    ) -> tuple[PyTree, ScheduleState]:
        size = step_size(state.count)
        scaled = tree.map(lambda g: g * _like(size, g), gradients)
        return scaled, ScheduleState(next_count(state.count))

    return GradientTransformation(lambda params: ScheduleState(fnp.zeros((), np.int32)), update)


def _like(x: Any, other: Any) -> Any:
    """A number in the dtype of an array."""
    return lax.convert_element_type(x, as_array(other).dtype)


def scale_by_learning_rate(
    learning_rate: float | Array | Schedule, *, flip_sign: bool = True
) -> GradientTransformation:
    """Updates times -learning_rate, which is a number or a schedule."""
    sign = -1 if flip_sign else 1
    if callable(learning_rate):
        return scale_by_schedule(lambda count: sign * learning_rate(count))
    return scale(sign * learning_rate)


def global_norm(updates: PyTree) -> Array:
    """The Euclidean length of all leaves together.

    >>> import fnn.numpy as fnp
    >>> print(global_norm({"a": fnp.array([3.0]), "b": fnp.array([4.0])}))
    5.0
    """
    return fnp.sqrt(sum([fnp.sum(fnp.square(as_array(g))) for g in tree.leaves(updates)], start=0.0))


def clip_by_global_norm(max_norm: Any) -> GradientTransformation:
    """Updates scaled down so that their global norm is at most max_norm."""

    def clip(gradients: PyTree, params: PyTree) -> PyTree:
        norm = global_norm(gradients)
        return tree.map(lambda g: fnp.where(norm < max_norm, g, (g / _like(norm, g)) * max_norm), gradients)

    return stateless(clip)


def add_decayed_weights(weight_decay: Any) -> GradientTransformation:
    """Updates plus weight_decay times the parameters. Raises ArgumentError if update is called without params."""

    def decay(gradients: PyTree, params: PyTree) -> PyTree:
        if params is None:
            raise ArgumentError(
                f"weight decay needs the parameters, at {describe(here())}: call update(gradients, state, params)"
            )
        return tree.map(lambda g, p: g + weight_decay * as_array(p), gradients, params)

    return stateless(decay)
