"""What JAX passes to custom rules with `symbolic_zeros=True`."""

from __future__ import annotations

from typing import Any

from fnn import tree


class SymbolicZero:
    """A tangent known to be zero, where JAX would pass one: fnn's rules get arrays of zeros instead."""


class CustomVJPPrimal:
    """An argument of a forward rule with symbolic zeros: its value, and whether it is differentiated (it may be)."""

    __slots__ = ("perturbed", "value")

    def __init__(self, value: Any, perturbed: bool = True):
        self.value, self.perturbed = value, perturbed


def custom_vjp_primal_tree_values(given: Any) -> Any:
    """The values of a pytree of `CustomVJPPrimal`s."""
    return tree.map(lambda x: x.value if isinstance(x, CustomVJPPrimal) else x, given)
