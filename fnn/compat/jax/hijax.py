"""`jax.experimental.hijax`: the classes from which libraries derive array types and primitives of a higher level, and mutable
ones. fnn has neither: a library may define them, and is told so when it makes or binds one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fnn.compat.jax.core import ShapedArray
from fnn.compat.jax.interpreters.ad import UndefinedPrimal, Zero, instantiate_zeros, is_undefined_primal
from fnn.core.source import describe, here
from fnn.errors import UnsupportedError

__all__ = [
    "AbstractValue", "AvalMutableQDD", "AvalQDD", "HiPrimitive", "HiType", "MutableHiType", "QuasiDynamicData",
    "ShapedArray", "UndefinedPrimal", "Zero", "aval_method", "aval_property", "control_flow_allowed_effects",
    "instantiate_zeros", "is_undefined_primal", "register_hitype",
]  # fmt: skip


def _refuse(what: str) -> UnsupportedError:
    return UnsupportedError(
        f"{what}, at {describe(here())}: fnn has no types above arrays, and no mutable ones"
    )


class HiPrimitive:
    """A primitive over such types. It can be defined, not bound."""

    def __init__(self, name: str):
        self.name = name

    def bind(self, *args: Any, **params: Any) -> Any:
        raise _refuse(self.name)


class HiType:
    """A type above arrays."""


class MutableHiType(HiType):
    """A type of what is written to in place."""


class AbstractValue:
    """In JAX the base of types."""


class QuasiDynamicData:
    """In JAX what is known of a mutable value while it is traced."""


class AvalQDD:
    """In JAX a mutable type and what is known of the value."""

    def __init__(self, *_: Any):
        raise _refuse("AvalQDD")


AvalMutableQDD = AvalQDD


class aval_property(property):  # JAX's name
    """A property that such a type gives its values."""


def aval_method(f: Callable[..., Any]) -> Callable[..., Any]:
    """A method that such a type gives its values."""
    return f


def register_hitype(cls: type, typeof: Callable[[Any], Any]) -> None:
    """Accepted: no function of fnn's takes a value of such a class."""


class _Effects:
    def add_type(self, effect: type) -> None:
        """Accepted: fnn's equations have no kinds of effects."""


control_flow_allowed_effects = _Effects()
