"""Euler angles: which axes their letters name, and the angles of a quaternion."""

from __future__ import annotations

import itertools
import math
import re
from typing import Any

from fnn import numpy as fnp
from fnn.core.source import describe, here
from fnn.errors import ArgumentError

_NEAR = 1e-7  # radians within which two axes count as the same


def letters(name: str, seq: str, least: int) -> tuple[list[int], bool]:
    """The numbers of the axes, and whether they turn along (capitals)."""
    if not re.fullmatch(r"[xyz]{1,3}|[XYZ]{1,3}", seq) or len(seq) < least:
        raise ArgumentError(
            f"{name}: the axes {seq!r}, at {describe(here())}; they are {'three' if least == 3 else 'one to three'} of "
            "x, y, z (that stay) or of X, Y, Z (that turn along)"
        )
    if any(a == b for a, b in itertools.pairwise(seq)):
        raise ArgumentError(f"{name}: the axes {seq!r} name one twice in a row, at {describe(here())}")
    return ["xyz".index(c) for c in seq.lower()], seq.isupper()


def euler_angles(quat: Any, axes: list[int], turning: bool) -> Any:
    """The three angles of quaternions (..., 4) about axes.

    Bernardes and Viollet, "Quaternion to Euler angles conversion: a direct, general and computationally efficient
    method", PLoS ONE 2022."""
    i, j, k = reversed(axes) if turning else axes
    symmetric = i == k
    if symmetric:
        k = 3 - i - j
    sign = (i - j) * (j - k) * (k - i) // 2
    x, y, z, w = quat[..., i], quat[..., j], sign * quat[..., k], quat[..., 3]
    a, b, c, d = (w, x, y, z) if symmetric else (w - y, x + z, y + w, z - x)
    middle = 2 * fnp.arctan2(_length(c, d), _length(a, b))
    none, half = middle <= _NEAR, middle >= math.pi - _NEAR  # gimbal lock
    total = fnp.arctan2(fnp.where(half, 0.0, b), fnp.where(half, 1.0, a))
    other = fnp.arctan2(fnp.where(none, 0.0, d), fnp.where(none, 1.0, c))
    first = fnp.where(none, 2 * total, total - other)
    third = fnp.where(none, 0.0, total + other)
    # where the axes fall together all of the turning is given to the first one of seq
    if turning:
        first, third = fnp.where(none, 0.0, first), fnp.where(none, 2 * total, third)
        first, third = fnp.where(half, 0.0, first), fnp.where(half, 2 * other, third)
    else:
        first, third = fnp.where(half, -2 * other, first), fnp.where(half, 0.0, third)
    if not symmetric:
        third, middle = sign * third, middle - math.pi / 2
    out = [third, middle, first] if turning else [first, middle, third]
    return fnp.stack([_wrapped(angle) for angle in out], -1)


def _length(a: Any, b: Any) -> Any:
    """sqrt(a * a + b * b), with derivative 0 at 0."""
    s = a * a + b * b
    still = s == 0
    return fnp.where(still, 0.0, fnp.sqrt(fnp.where(still, 1.0, s)))


def _wrapped(angle: Any) -> Any:
    """To -pi ... pi, from less than a turn outside."""
    turn = 2 * math.pi
    return fnp.where(angle < -math.pi, angle + turn, fnp.where(angle > math.pi, angle - turn, angle))
