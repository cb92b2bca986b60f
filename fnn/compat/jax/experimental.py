"""`jax.experimental`."""

from __future__ import annotations

import contextlib
import importlib
from typing import Any

from fnn.compat.jax.parallel import pjit
from fnn.config import enable_x64
from fnn.core.source import describe, here
from fnn.errors import UnsupportedError

__all__ = ["MutableArray", "disable_x64", "enable_x64", "pjit"]


def disable_x64() -> contextlib.AbstractContextManager[None]:
    """Inside the block, 64-bit inputs become 32-bit."""
    return enable_x64(False)


class MutableArray:
    """In JAX an array that is written to in place. fnn has none: nothing is an instance, and none can be made."""

    def __init__(self, *_: Any):
        raise UnsupportedError(
            f"MutableArray, at {describe(here())}: fnn's arrays are immutable; use x.at[i].set(v)"
        )


def __getattr__(name: str) -> Any:
    if name == "io_callback":
        return importlib.import_module("fnn.experimental").io_callback
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
