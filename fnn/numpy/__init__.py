"""fnn.numpy: NumPy's functions over fnn arrays, with JAX's types."""

from __future__ import annotations

import math

import numpy as _np

from fnn import array as _array
from fnn.core.array import Array as ndarray
from fnn.dtypes import *  # noqa: F403
from fnn.dtypes import bool_, finfo, float32, iinfo, int32, issubdtype, promote_types, result_type
from fnn.operations.choice import *  # noqa: F403
from fnn.operations.creation import *  # noqa: F403
from fnn.operations.elementwise import BINARY as _BINARY
from fnn.operations.elementwise import UNARY as _UNARY
from fnn.operations.elementwise import logical_not
from fnn.operations.products import *  # noqa: F403
from fnn.operations.reductions import *  # noqa: F403
from fnn.operations.selection import *  # noqa: F403
from fnn.operations.shaping import *  # noqa: F403

globals().update(_BINARY)
globals().update(_UNARY)
pi, e, inf, nan, newaxis, euler_gamma = math.pi, math.e, math.inf, math.nan, None, _np.euler_gamma
