"""`jax.custom_derivatives` and `jax.ad_checkpoint`."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from fnn import tree
from fnn.compat.jax.core import get_aval
from fnn.dtypes import float0
from fnn.transforms.custom import custom_gradient, custom_jvp, custom_vjp
from fnn.transforms.remat import checkpoint, checkpoint_name, checkpoint_policies, saved_residuals
from fnn.transforms.symbolic_zeros import CustomVJPPrimal, SymbolicZero, custom_vjp_primal_tree_values

remat = checkpoint
__all__ = [
    "CustomVJPPrimal",
    "SymbolicZero",
    "checkpoint",
    "checkpoint_name",
    "checkpoint_policies",
    "custom_gradient",
    "custom_jvp",
    "custom_vjp",
    "custom_vjp_primal_tree_values",
    "print_saved_residuals",
    "remat",
    "saved_residuals",
    "zero_from_primal",
]


def __getattr__(name: str) -> Any:
    if name == "closure_convert":
        return importlib.import_module("fnn").closure_convert  # missed there, where fnn has none
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def zero_from_primal(x: Any, symbolic_zeros: bool = False) -> Any:
    """Tangents of zeros for a pytree of values; those of integers are float0."""

    def zero(leaf: Any) -> Any:
        aval = get_aval(leaf).to_tangent_aval()
        if symbolic_zeros:
            return SymbolicZero(aval)
        return np.zeros(aval.shape, float0) if aval.dtype == float0 else SymbolicZero(aval).instantiate()

    return tree.map(zero, x)


def print_saved_residuals(f: Any, *args: Any) -> None:
    """Print what the backward pass of `f` keeps."""
    for line in saved_residuals(f, *args):
        print(line)
