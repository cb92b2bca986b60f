"""`jax.typing`."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from fnn.core.array import Array

ArrayLike = Array | np.ndarray | np.bool_ | np.number | bool | int | float | complex
__all__ = ["ArrayLike", "DTypeLike"]
