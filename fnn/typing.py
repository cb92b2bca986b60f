"""fnn.typing: what to write in annotations of functions that take arrays."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import numpy as np

from fnn.core.array import Array


class SupportsDType(Protocol):
    """Something with a dtype."""

    @property
    def dtype(self) -> Any:
        """Its dtype."""
        ...


ArrayLike: TypeAlias = Array | np.ndarray | np.bool_ | np.number[Any] | bool | int | float | complex
"""What functions of fnn.numpy take for an array: arrays, NumPy's, and numbers; no lists."""

DTypeLike: TypeAlias = str | type[Any] | np.dtype[Any] | SupportsDType
"""What they take for a dtype."""

__all__ = ["ArrayLike", "DTypeLike"]
