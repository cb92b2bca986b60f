"""Layers: modules whose fields are their parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from fnn import random
from fnn.core.array import Array
from fnn.core.source import describe, here
from fnn.errors import ShapeError
from fnn.module import Module, static_field
from fnn.nn.activations import identity, relu


class Linear(Module):
    """x @ weight + bias, over the last axis of x.

    weight: [in_features, out_features], bias: [out_features] or None; both start uniform in
    [-1/sqrt(in_features), 1/sqrt(in_features)).

    >>> import fnn, fnn.numpy as fnp
    >>> layer = Linear(3, 2, key=fnn.random.key(0))
    >>> layer
    Linear(weight=f32[3,2], bias=f32[2])
    >>> layer(fnp.ones((5, 3))).shape
    (5, 2)
    """

    weight: Array
    bias: Array | None

    def __init__(
        self, in_features: int, out_features: int, use_bias: bool = True, dtype: Any = None, *, key: Any
    ):
        bound = 1 / math.sqrt(max(in_features, 1))
        weight_key, bias_key = random.split(key)
        self.weight = random.uniform(weight_key, (in_features, out_features), dtype, -bound, bound)
        self.bias = random.uniform(bias_key, (out_features,), dtype, -bound, bound) if use_bias else None

    def __call__(self, x: Any) -> Array:
        """[..., in_features] -> [..., out_features]; ShapeError if the last axis has another size."""
        inputs = self.weight.shape[0]
        if not x.ndim or x.shape[-1] != inputs:
            raise ShapeError(
                f"Linear takes {inputs} features on the last axis, got shape {tuple(x.shape)}, at "
                f"{describe(here())}"
            )
        out = x @ self.weight
        return out if self.bias is None else out + self.bias


class Sequential(Module):
    """Layers, or any functions of one array, one after the other.

    >>> import fnn, fnn.numpy as fnp
    >>> k1, k2 = fnn.random.split(fnn.random.key(0))
    >>> model = Sequential([Linear(3, 8, key=k1), fnn.nn.relu, Linear(8, 2, key=k2)])
    >>> model(fnp.ones(3)).shape
    (2,)
    """

    layers: tuple[Any, ...]
    functions: tuple[Callable[..., Any] | None, ...] = static_field(repr=False)

    def __init__(self, layers: Sequence[Callable[..., Any]]):
        # Modules are children of the tree; plain functions belong to its structure.
        self.layers = tuple([x if isinstance(x, Module) else None for x in layers])
        self.functions = tuple([None if isinstance(x, Module) else x for x in layers])

    def __call__(self, x: Any) -> Any:
        for layer, function in zip(self.layers, self.functions, strict=True):
            x = (layer if function is None else function)(x)
        return x


class MLP(Module):
    """A multi-layer perceptron: `depth` hidden layers of `width` units.

    >>> import fnn, fnn.numpy as fnp
    >>> model = MLP(4, 3, width=16, depth=2, key=fnn.random.key(0))
    >>> model(fnp.ones((7, 4))).shape
    (7, 3)
    """

    layers: tuple[Linear, ...]
    activation: Callable[..., Any] = static_field()
    final_activation: Callable[..., Any] = static_field()

    def __init__(
        self,
        in_features: int,
        out_features: int,
        width: int,
        depth: int,
        activation: Callable[..., Any] = relu,
        final_activation: Callable[..., Any] = identity,
        use_bias: bool = True,
        dtype: Any = None,
        *,
        key: Any,
    ):
        sizes = [in_features, *[width] * depth, out_features]
        keys = random.split(key, depth + 1)
        self.layers = tuple(
            [Linear(m, n, use_bias, dtype, key=keys[i]) for i, (m, n) in enumerate(pairwise(sizes))]
        )
        self.activation, self.final_activation = activation, final_activation

    def __call__(self, x: Any) -> Any:
        """[..., in_features] -> [..., out_features]."""
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.final_activation(self.layers[-1](x))
