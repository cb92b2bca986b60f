"""Integrals of samples.

>>> from fnn.scipy import integrate
>>> print(integrate.trapezoid([1.0, 2.0, 4.0]))
4.5
"""

from __future__ import annotations

from typing import Any

from fnn import numpy as fnp


def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """The integral of samples y along an axis by the trapezoidal rule; x: where they are taken, or dx: how far apart."""
    return fnp.trapezoid(y, x, dx, axis)
