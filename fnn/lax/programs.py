"""What marks parts of a program for a compiler: barriers, composites, tokens, choices by platform.

fnn keeps the meaning of each; where JAX's compiler would take a hint, there is nothing to do."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, NamedTuple

from fnn import tree
from fnn.core.array import Array, as_array
from fnn.core.source import describe, here
from fnn.errors import ArgumentError
from fnn.lax.structure import Precision, full


def optimization_barrier(operand: Any, /) -> Any:
    """The pytree itself, its leaves as arrays: fnn moves no computation across that could be seen."""
    return tree.map(as_array, operand)


def composite(decomposition: Callable[..., Any], name: str, version: int = 0) -> Callable[..., Any]:
    """A function under a name that other compilers may know; here always its decomposition.

    Its positional arguments are arrays, its keyword arguments are static."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return decomposition(*args, **kwargs)

    call.__name__ = call.__qualname__ = str(name)
    call.__doc__ = decomposition.__doc__
    return call


def platform_dependent(
    *args: Any, default: Callable[..., Any] | None = None, **per_platform: Callable[..., Any]
) -> Any:
    """per_platform["cpu"] of the arguments, or else default. Raises ArgumentError where there is neither."""
    chosen = per_platform.get("cpu", default)
    if chosen is None:
        raise ArgumentError(
            f"lax.platform_dependent: no function for 'cpu' (only for {', '.join(per_platform) or 'nothing'}), at "
            f"{describe(here())}; give cpu= or default="
        )
    return chosen(*args)


def stage(x: Any, /) -> Array:
    """x as an array."""
    return as_array(x)


def dce_sink(val: Any, *, prevent_mlir_dce: bool = False) -> None:
    """Nothing: a value nobody uses is not computed, which no one can tell."""
    tree.map(as_array, val)


def create_token(_: Any = None) -> Array:
    """A token: an array that orders what depends on it. fnn orders side effects by themselves."""
    return full((), False, bool)


def after_all(*operands: Any) -> Array:
    """A token after others."""
    return create_token()


class AccuracyMode(enum.Enum):
    """How exactly elementwise functions are computed. Accepted and ignored: they are always exact to about 2 ulp."""

    HIGHEST = 1
    DEFAULT = 2


class Tolerance(NamedTuple):
    """Errors an elementwise function may have. Accepted and ignored, as `AccuracyMode`."""

    atol: float = 0.0
    rtol: float = 0.0
    ulps: int = 0


class DotAlgorithm(NamedTuple):
    """How a matrix product is to be computed. Accepted and ignored: factors and sums keep at least their own precision."""

    lhs_precision_type: Any
    rhs_precision_type: Any
    accumulation_type: Any
    lhs_component_count: int = 1
    rhs_component_count: int = 1
    num_primitive_operations: int = 1
    allow_imprecise_accumulation: bool = False


class DotAlgorithmPreset(enum.Enum):
    """Names for algorithms of matrix products. Accepted and ignored, as `DotAlgorithm`."""

    DEFAULT = 0
    ANY_F8_ANY_F8_F32 = 1
    ANY_F8_ANY_F8_F32_FAST_ACCUM = 2
    ANY_F8_ANY_F8_ANY = 3
    ANY_F8_ANY_F8_ANY_FAST_ACCUM = 4
    F16_F16_F16 = 5
    F16_F16_F32 = 6
    BF16_BF16_BF16 = 7
    BF16_BF16_F32 = 8
    BF16_BF16_F32_X3 = 9
    BF16_BF16_F32_X6 = 10
    BF16_BF16_F32_X9 = 11
    TF32_TF32_F32 = 12
    TF32_TF32_F32_X3 = 13
    F32_F32_F32 = 14
    F64_F64_F64 = 15


PrecisionLike = (
    None | str | Precision | tuple[str, str] | tuple[Precision, Precision] | DotAlgorithm | DotAlgorithmPreset
)
DotDimensionNumbers = tuple[tuple[tuple[int, ...], tuple[int, ...]], tuple[tuple[int, ...], tuple[int, ...]]]

__all__ = [
    "AccuracyMode",
    "DotAlgorithm",
    "DotAlgorithmPreset",
    "DotDimensionNumbers",
    "PrecisionLike",
    "Tolerance",
    "after_all",
    "composite",
    "create_token",
    "dce_sink",
    "optimization_barrier",
    "platform_dependent",
    "stage",
]
