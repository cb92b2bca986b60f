"""Custom rules with `symbolic_zeros=True`: they are told what is not differentiated."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from fnn import primitives as P
from fnn import tree
from fnn.core.aval import Aval
from fnn.transforms.flattening import from_float0


class SymbolicZero:
    """A tangent or cotangent known to be zero: its type alone."""

    def __init__(self, aval: Any):
        self.aval = aval

    @property
    def shape(self) -> tuple[int, ...]:
        return self.aval.shape

    @property
    def dtype(self) -> Any:
        return self.aval.dtype

    def instantiate(self) -> Any:
        """The zeros."""
        return P.zeros(Aval(tuple(self.aval.shape), self.aval.dtype))


class CustomVJPPrimal:
    """An argument of a forward rule with symbolic zeros: its value, and whether it is differentiated."""

    __slots__ = ("perturbed", "value")

    def __init__(self, value: Any, perturbed: bool = True):
        self.value, self.perturbed = value, perturbed


def custom_vjp_primal_tree_values(given: Any) -> Any:
    """The values of a pytree of `CustomVJPPrimal`s."""
    return tree.map(lambda x: x.value if isinstance(x, CustomVJPPrimal) else x, given)


def instantiated(found: Any) -> Any:
    """What a rule returns, with symbolic zeros made real. Those of integers, which are float0, are of no account."""

    def real(x: Any) -> Any:
        x = from_float0(x)
        return x.instantiate() if isinstance(x, SymbolicZero) else x

    return tree.map(real, found)


class _Needs(threading.local):
    now: Sequence[bool] = ()


_needs = _Needs()


@contextmanager
def differentiating(needs: Sequence[bool]) -> Iterator[None]:
    """Inside the block a forward rule is run for these arguments (leaves, in order)."""
    before, _needs.now = _needs.now, needs
    try:
        yield
    finally:
        _needs.now = before


def marked(leaves: Sequence[Any]) -> list[CustomVJPPrimal]:
    """The leaves as a forward rule with symbolic zeros gets them."""
    return [CustomVJPPrimal(x, n) for x, n in zip(leaves, _needs.now, strict=False)]


def of_present(rule: Callable[..., Any], tangents: Sequence[Any]) -> tuple[Callable[..., Any], list[Any]]:
    """(rule(primals, tangents) as a function of the primals, then of those tangents that are not None; these)."""
    there = [t is not None for t in tangents]

    def call(*xs: Any) -> Any:
        given = iter(xs[len(there) :])
        return rule(list(xs[: len(there)]), [next(given) if t else None for t in there])

    return call, [t for t in tangents if t is not None]
