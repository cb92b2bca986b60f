"""`jax.stages`: what `jit(f)`, `.lower(...)` and `.compile()` return."""

from __future__ import annotations

from typing import Any

from fnn.transforms.jit import Jitted
from fnn.transforms.lowered import Compiled, Lowered

Wrapped = Jitted
Traced = Lowered
CompilerOptions = dict[str, Any]

__all__ = ["Compiled", "CompilerOptions", "Lowered", "Traced", "Wrapped"]
