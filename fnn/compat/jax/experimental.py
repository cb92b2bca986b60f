"""`jax.experimental`."""

from __future__ import annotations

import contextlib
import importlib
from typing import Any

from fnn.compat.jax.parallel import pjit
from fnn.config import enable_x64

__all__ = ["disable_x64", "enable_x64", "pjit"]


def disable_x64() -> contextlib.AbstractContextManager[None]:
    """Inside the block, 64-bit inputs become 32-bit."""
    return enable_x64(False)


def __getattr__(name: str) -> Any:
    if name == "io_callback":
        return importlib.import_module("fnn.experimental").io_callback
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
