"""Choosing among things: permutation, choice, categorical."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fnn import numpy as fnp
from fnn import primitives as P
from fnn.core.array import Array, as_array
from fnn.core.source import describe, here
from fnn.errors import ArgumentError, ShapeError
from fnn.random.distributions import gumbel
from fnn.random.keys import bits, one_key, shape_tuple, split
from fnn.random.uniforms import randint, uniform
from fnn.transforms.key_reuse import uses_key


def _shuffled(key: Any, x: Array, axis: int) -> Array:
    """x sorted by random numbers along an axis, as often as makes ties improbable."""
    rounds = math.ceil(3 * math.log(max(1, x.size)) / math.log(np.iinfo(np.uint32).max))
    for _ in range(rounds):
        key, use = split(key)
        x = P.sort(bits(use, x.shape), x, axis=axis, keys=1, stable=True)[1]
    return x


@uses_key
def permutation(key: Any, x: Any, axis: int = 0, independent: bool = False) -> Array:
    """The numbers below x, or the slices of an array x along an axis, in random order.

    independent: every line along the axis gets an order of its own.

    >>> import fnn
    >>> sorted(fnn.random.permutation(fnn.random.key(0), 4).tolist())
    [0, 1, 2, 3]
    """
    one_key("permutation", key)
    given = as_array(x)
    if not given.shape:
        if given.dtype.kind not in "iu":
            raise ArgumentError(
                f"random.permutation: x is an integer or an array, not {given.aval}, at {describe(here())}"
            )
        return _shuffled(key, fnp.arange(int(given)), 0)
    if not -given.ndim <= axis < given.ndim:
        raise ShapeError(f"random.permutation: axis {axis} of {given.aval}, at {describe(here())}")
    axis %= given.ndim
    if independent or given.ndim == 1:
        return _shuffled(key, given, axis)
    return fnp.take(given, _shuffled(key, fnp.arange(given.shape[axis]), 0), axis=axis)


@uses_key
def shuffle(key: Any, x: Any, axis: int = 0) -> Array:
    """x with its slices along an axis in random order; see permutation."""
    return permutation(key, x, axis)


@uses_key
def choice(key: Any, a: Any, shape: Any = (), replace: bool = True, p: Any = None, axis: int = 0) -> Array:
    """Draws from the numbers below a, or from an array a along an axis, with probabilities p (equal by
    default).

    Raises ArgumentError where more draws are asked for, without replacement, than there are things.

    >>> import fnn
    >>> print(fnn.random.choice(fnn.random.key(0), 10, (3,), replace=False))
    [0 1 8]
    """
    one_key("choice", key)
    given, size = as_array(a), shape_tuple("choice", shape)
    count, draws = int(given) if not given.shape else given.shape[axis], math.prod(size)
    if count <= 0 and draws:
        raise ArgumentError(f"random.choice: there is nothing to choose from, at {describe(here())}")
    if not replace and draws > count:
        raise ArgumentError(
            f"random.choice: {draws} draws from {count} things without replacement, at {describe(here())}"
        )

    def taken(index: Array) -> Array:
        if not given.shape:
            return index
        out = fnp.take(given, index.reshape(-1), axis=axis)
        at = axis % given.ndim
        return out.reshape((*out.shape[:at], *size, *out.shape[at + 1 :]))

    if p is None:
        if replace:
            return taken(randint(key, size, 0, count))
        if not given.shape:
            return permutation(key, count)[:draws].reshape(size)
        at = axis % given.ndim
        out = permutation(key, given, at)[(slice(None),) * at + (slice(draws),)]
        return out.reshape((*out.shape[:at], *size, *out.shape[at + 1 :]))
    chance = fnp.asarray(p)
    if chance.shape != (count,):
        raise ShapeError(
            f"random.choice: p has shape {chance.shape} for {count} things, at {describe(here())}"
        )
    if not chance.aval.is_float:
        chance = chance.astype(np.dtype("float32"))
    if replace:
        total = fnp.cumsum(chance)
        point = total[-1] * (1 - uniform(key, size, dtype=total.dtype))
        return taken(fnp.searchsorted(total, point).astype(np.dtype("int32")))
    score = gumbel(key, (count,), chance.dtype) + fnp.log(chance)
    return taken(P.top_k(score, k=draws)[1].reshape(size))


@uses_key
def categorical(key: Any, logits: Any, axis: int = -1, shape: Any = None) -> Array:
    """Indices along an axis with probabilities proportional to exp(logits), by the Gumbel-max trick.

    shape: of the result; it ends with the shape of logits without the axis, which is the default.

    >>> import fnn, fnn.numpy as fnp
    >>> logits = fnp.log(fnp.array([0.01, 0.01, 0.98]))
    >>> print(fnn.random.categorical(fnn.random.key(0), logits, shape=(5,)))
    [2 2 2 1 2]
    """
    one_key("categorical", key)
    scores = as_array(logits)
    if not scores.shape or not -scores.ndim <= axis < scores.ndim:
        raise ShapeError(f"random.categorical: axis {axis} of {scores.aval}, at {describe(here())}")
    axis %= scores.ndim
    batch = tuple(n for d, n in enumerate(scores.shape) if d != axis)
    size = batch if shape is None else shape_tuple("categorical", shape)
    lead = size[: len(size) - len(batch)]
    if size[len(lead) :] != batch:
        raise ShapeError(
            f"random.categorical: the shape {size} must end with {batch}, the shape of logits without axis "
            f"{axis}, at {describe(here())}"
        )
    noise = gumbel(key, (*lead, *scores.shape), scores.dtype)
    return fnp.argmax(noise + scores.reshape((1,) * len(lead) + scores.shape), axis=axis + len(lead))
