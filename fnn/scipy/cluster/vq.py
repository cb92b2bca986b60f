"""Vector quantisation: observations are replaced by the nearest of a few codes.

>>> from fnn.scipy.cluster.vq import vq
>>> import fnn.numpy as fnp
>>> code, distance = vq(fnp.array([0.9, 4.0]), fnp.array([1.0, 2.0, 3.0]))
>>> print(code, distance)
[0 2] [0.10000002 1.        ]
"""

from __future__ import annotations

from typing import Any

from fnn import numpy as fnp
from fnn.core.source import describe, here
from fnn.errors import ShapeError
from fnn.operations.operands import array_of, meet

__all__ = ["vq"]


def vq(obs: Any, code_book: Any, check_finite: bool = True) -> tuple[Any, Any]:
    """(code, distance): for each observation the number of the nearest code, and its Euclidean distance.

    obs: (m, n), a row for each observation, or a vector of numbers; code_book: (k, n), or a vector. check_finite is for
    SciPy's sake. The distance is differentiable where it is not 0. Raises ShapeError for other shapes.

    >>> vq(fnp.ones((5, 3)), fnp.zeros((2, 3)))[0].shape
    (5,)
    """
    x, codes = meet("vq", array_of("vq", obs), array_of("vq", code_book), mode="inexact", spread=False)
    if x.ndim == codes.ndim == 1:
        x, codes = x[:, None], codes[:, None]
    if x.ndim != 2 or codes.ndim != 2 or x.shape[1] != codes.shape[1] or not codes.shape[0]:
        raise ShapeError(
            f"vq: observations {x.aval} and codes {codes.aval}, at {describe(here())}; they are rows (m, n) and (k, n), "
            "or two vectors"
        )
    nearest = fnp.argmin(fnp.sum(fnp.square(x[:, None] - codes[None]), -1), -1)
    return nearest, fnp.linalg.norm(x - codes[nearest], axis=-1)
