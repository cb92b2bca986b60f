"""Optimisers, as chains of gradient transformations, with the formulas (and so the numbers) of optax.

>>> import fnn, fnn.numpy as fnp
>>> loss = lambda w: fnp.sum((w - 3.0) ** 2)
>>> optimizer = adam(0.1)
>>> w = fnp.zeros(2)
>>> state = optimizer.init(w)
>>> for _ in range(200):
...     updates, state = optimizer.update(fnn.grad(loss)(w), state, w)
...     w = fnn.optim.apply_updates(w, updates)
>>> bool(fnp.allclose(w, 3.0, atol=1e-2))
True
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fnn import dtypes, tree
from fnn import numpy as fnp
from fnn.core.array import Array
from fnn.optim.base import (
    GradientTransformation,
    PyTree,
    add_decayed_weights,
    chain,
    identity,
    next_count,
    scale_by_learning_rate,
    zeros_like,
)


class TraceState(NamedTuple):
    """trace: the running sum of gradients."""

    trace: PyTree


class AdamState(NamedTuple):
    """count: updates made so far; mu, nu: running means of gradients and of their squares."""

    count: Array  # type: ignore[assignment]  # optax's name, which hides the method of tuples
    mu: PyTree
    nu: PyTree


class RmsState(NamedTuple):
    """nu: running mean of squared gradients."""

    nu: PyTree


def trace(decay: Any, nesterov: bool = False, accumulator_dtype: Any = None) -> GradientTransformation:
    """Momentum: t = g + decay t; the update is t, or g + decay t with nesterov."""

    def init(params: PyTree) -> TraceState:
        return TraceState(zeros_like(params, accumulator_dtype))

    def update(gradients: PyTree, state: TraceState, params: PyTree = None) -> tuple[PyTree, TraceState]:
        step = lambda g, t: g + decay * t
        kept = tree.map(step, gradients, state.trace)
        updates = tree.map(step, gradients, kept) if nesterov else kept
        return updates, TraceState(_cast(kept, accumulator_dtype))

    return GradientTransformation(init, update)


momentum = trace


def _cast(values: PyTree, dtype: Any) -> PyTree:
    if dtype is None:
        return values
    target = dtypes.canonicalize(dtype, explicit=True)
    return tree.map(lambda x: x.astype(target), values)


def scale_by_adam(
    b1: Any = 0.9,
    b2: Any = 0.999,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    mu_dtype: Any = None,
    *,
    nesterov: bool = False,
) -> GradientTransformation:
    """The direction of Adam (Kingma and Ba 2014), or of NAdam (Dozat 2016) with nesterov."""

    def init(params: PyTree) -> AdamState:
        return AdamState(fnp.zeros((), np.int32), zeros_like(params, mu_dtype), zeros_like(params))

    def update(gradients: PyTree, state: AdamState, params: PyTree = None) -> tuple[PyTree, AdamState]:
        count = next_count(state.count)
        mu = tree.map(lambda g, m: (1 - b1) * g + b1 * m, gradients, state.mu)
        nu = tree.map(lambda g, v: (1 - b2) * (g * g) + b2 * v, gradients, state.nu)
        steps = fnp.asarray(count, dtypes.default_float())
        c1, c2 = 1 - b1**steps, 1 - b2**steps
        if nesterov:
            later = 1 - b1 ** (steps + 1)
            mean = tree.map(lambda g, m: b1 * _over(m, later) + (1 - b1) * _over(g, c1), gradients, mu)
        else:
            mean = tree.map(lambda m: _over(m, c1), mu)
        updates = tree.map(lambda m, v: m / (fnp.sqrt(_over(v, c2) + eps_root) + eps), mean, nu)
        return updates, AdamState(count, _cast(mu, mu_dtype), nu)

    return GradientTransformation(init, update)


def _over(x: Any, correction: Any) -> Any:
    """x divided by a scalar, in x's dtype."""
    return x / fnp.asarray(correction, x.dtype)


def scale_by_rms(decay: Any = 0.9, eps: Any = 1e-8, initial_scale: Any = 0.0) -> GradientTransformation:
    """Gradients divided by the root of the running mean of their squares (Tieleman and Hinton 2012)."""

    def init(params: PyTree) -> RmsState:
        return RmsState(tree.map(lambda p: fnp.full_like(p, initial_scale), params))

    def update(gradients: PyTree, state: RmsState, params: PyTree = None) -> tuple[PyTree, RmsState]:
        nu = tree.map(lambda g, v: (1 - decay) * (g * g) + decay * v, gradients, state.nu)
        return tree.map(lambda g, v: g / fnp.sqrt(v + eps), gradients, nu), RmsState(nu)

    return GradientTransformation(init, update)


def sgd(
    learning_rate: Any, momentum: Any = None, nesterov: bool = False, accumulator_dtype: Any = None
) -> GradientTransformation:
    """Stochastic gradient descent, with momentum if given. learning_rate: a number or a schedule.

    >>> import fnn.numpy as fnp
    >>> optimizer, w = sgd(0.1, momentum=0.9), fnp.ones(2)
    >>> updates, state = optimizer.update(2 * w, optimizer.init(w))
    >>> print(updates)
    [-0.2 -0.2]
    """
    first = identity() if momentum is None else trace(momentum, nesterov, accumulator_dtype)
    return chain(first, scale_by_learning_rate(learning_rate))


def adam(
    learning_rate: Any,
    b1: Any = 0.9,
    b2: Any = 0.999,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    mu_dtype: Any = None,
    *,
    nesterov: bool = False,
) -> GradientTransformation:
    """Adam (Kingma and Ba 2014). learning_rate: a number or a schedule.

    >>> import fnn.numpy as fnp
    >>> optimizer, w = adam(0.5), fnp.ones(2)
    >>> updates, state = optimizer.update(2 * w, optimizer.init(w))
    >>> print(fnp.round(updates, 3))
    [-0.5 -0.5]
    """
    direction = scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov)
    return chain(direction, scale_by_learning_rate(learning_rate))


def adamw(
    learning_rate: Any,
    b1: Any = 0.9,
    b2: Any = 0.999,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    mu_dtype: Any = None,
    weight_decay: Any = 1e-4,
    *,
    nesterov: bool = False,
) -> GradientTransformation:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019); update needs the parameters."""
    direction = scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov)
    return chain(direction, add_decayed_weights(weight_decay), scale_by_learning_rate(learning_rate))


def rmsprop(
    learning_rate: Any,
    decay: Any = 0.9,
    eps: Any = 1e-8,
    initial_scale: Any = 0.0,
    momentum: Any = None,
    nesterov: bool = False,
) -> GradientTransformation:
    """RMSProp (Tieleman and Hinton 2012), with momentum if given."""
    last = identity() if momentum is None else trace(momentum, nesterov)
    return chain(scale_by_rms(decay, eps, initial_scale), scale_by_learning_rate(learning_rate), last)
