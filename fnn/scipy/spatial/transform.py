"""Rotations in three dimensions, as unit quaternions (x, y, z, w).

>>> from fnn.scipy.spatial.transform import Rotation
>>> r = Rotation.from_euler("z", 90, degrees=True)
>>> print(r.apply([1.0, 0.0, 0.0]).round(6))
[0. 1. 0.]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fnn import numpy as fnp
from fnn import random as fnn_random
from fnn.core.source import describe, here
from fnn.errors import ArgumentError, ShapeError
from fnn.module import Module
from fnn.operations.operands import meet
from fnn.scipy.spatial.euler import euler_angles, letters

__all__ = ["Rotation", "Slerp"]


def _vectors(name: str, x: Any, size: int) -> Any:
    """x as floating-point numbers with `size` of them along the last axis."""
    (x,) = meet(name, fnp.asarray(x), mode="inexact", spread=False)
    if not x.ndim or x.shape[-1] != size:
        raise ShapeError(
            f"{name}: {x.aval}, at {describe(here())}; the last axis has the {size} numbers of one rotation"
        )
    return x


def _norm2(x: Any) -> Any:
    return fnp.sum(x * x, -1, keepdims=True)


def _normalised(quat: Any) -> Any:
    return quat / fnp.sqrt(_norm2(quat))


class Rotation(Module):
    """One rotation, or several along leading axes: quat (..., 4), in the order (x, y, z, w). A pytree.

    Rotation(quat) takes unit quaternions as they are; `from_quat` normalises. `p * q` rotates by q, then by p;
    `r[i]` and `len(r)` are for several. Everything is differentiable, at the identity too.

    >>> r = Rotation.from_rotvec([[0.0, 0.0, 1.0], [0.5, 0.0, 0.0]])
    >>> len(r), (r[0].inv().as_rotvec() + 0.0).round(5).tolist()
    (2, [0.0, 0.0, -1.0])
    """

    quat: Any

    # -- made from other descriptions ------------------------------------------------------------------------------

    @classmethod
    def from_quat(cls, quat: Any) -> Rotation:
        """From quaternions (..., 4) of any length but 0."""
        return cls(_normalised(_vectors("Rotation.from_quat", quat, 4)))

    @classmethod
    def from_rotvec(cls, rotvec: Any, degrees: bool = False) -> Rotation:
        """From rotation vectors (..., 3): the axis times the angle."""
        v = _vectors("Rotation.from_rotvec", rotvec, 3)
        v = fnp.deg2rad(v) if degrees else v
        a2 = _norm2(v)  # of the angle: what the series around 0 is in
        small = a2 <= 1e-6
        angle = fnp.sqrt(fnp.where(small, 1.0, a2))
        scale = fnp.where(small, 0.5 - a2 / 48 + a2 * a2 / 3840, fnp.sin(angle / 2) / angle)
        real = fnp.where(small, 1 - a2 / 8 + a2 * a2 / 384, fnp.cos(angle / 2))
        return cls(fnp.concatenate([scale * v, real], -1))

    @classmethod
    def from_matrix(cls, matrix: Any) -> Rotation:
        """From orthogonal matrices (..., 3, 3) with determinant 1.

        Of four formulas the one with the largest component of the quaternion (Markley, "Unit quaternion from rotation
        matrix", 2008)."""
        m = _vectors("Rotation.from_matrix", matrix, 3)
        if m.ndim < 2 or m.shape[-2] != 3:
            raise ShapeError(
                f"Rotation.from_matrix: {m.aval}, at {describe(here())}; a rotation is a (3, 3) matrix"
            )
        e = lambda i, j: m[..., i, j]
        trace = e(0, 0) + e(1, 1) + e(2, 2)
        up = lambda i, j: e(i, j) + e(j, i)
        turn = [e(2, 1) - e(1, 2), e(0, 2) - e(2, 0), e(1, 0) - e(0, 1)]
        best = fnp.argmax(fnp.stack([e(0, 0), e(1, 1), e(2, 2), trace], -1), -1, keepdims=True)
        quat = fnp.stack([*turn, 1 + trace], -1)
        for k in range(3):
            parts = [1 - trace + 2 * e(k, k) if i == k else up(i, k) for i in range(3)]
            quat = fnp.where(best == k, fnp.stack([*parts, turn[k]], -1), quat)
        return cls(_normalised(quat))

    @classmethod
    def from_mrp(cls, mrp: Any) -> Rotation:
        """From modified Rodrigues parameters (..., 3): the axis times tan(angle / 4)."""
        p = _vectors("Rotation.from_mrp", mrp, 3)
        n = _norm2(p)
        return cls(fnp.concatenate([2 * p, 1 - n], -1) / (1 + n))

    @classmethod
    def from_euler(cls, seq: str, angles: Any, degrees: bool = False) -> Rotation:
        """From angles about up to three axes. seq: "xyz" are axes that stay, "XYZ" axes that turn along.

        angles: (..., len(seq)), or a number for one axis."""
        axes, turning = letters("Rotation.from_euler", seq, 1)
        (angles,) = meet("Rotation.from_euler", fnp.asarray(angles), mode="inexact", spread=False)
        angles = fnp.atleast_1d(angles)
        if angles.shape[-1] != len(axes):
            raise ShapeError(
                f"Rotation.from_euler: angles {angles.aval} for the axes {seq!r}, at {describe(here())}; the last axis "
                "has an angle for each letter"
            )
        half = (fnp.deg2rad(angles) if degrees else angles) / 2
        sin, cos, zero = fnp.sin(half), fnp.cos(half), fnp.zeros_like(half[..., 0])
        out: Any = None
        for place, axis in enumerate(axes):
            step = fnp.stack(
                [*(sin[..., place] if i == axis else zero for i in range(3)), cos[..., place]], -1
            )
            out = step if out is None else _product(out, step) if turning else _product(step, out)
        return cls(out)

    @classmethod
    def identity(cls, num: int | None = None, dtype: Any = float) -> Rotation:
        """The rotation that does nothing; num: several of it."""
        one = fnp.array([0.0, 0.0, 0.0, 1.0], dtype=dtype)
        return cls(one if num is None else fnp.tile(one, (num, 1)))

    @classmethod
    def random(cls, random_key: Any, num: int | None = None) -> Rotation:
        """Uniformly distributed rotations: the directions of normal quaternions."""
        return cls(_normalised(fnn_random.normal(random_key, (4,) if num is None else (num, 4))))

    @classmethod
    def concatenate(cls, rotations: Sequence[Rotation]) -> Rotation:
        """The rotations of several objects in a row."""
        return cls(fnp.concatenate([fnp.atleast_2d(r.quat) for r in rotations]))

    # -- other descriptions of it ----------------------------------------------------------------------------------

    def as_quat(self, canonical: bool = False, scalar_first: bool = False) -> Any:
        """(..., 4). canonical: of q and -q the one where the first of w, x, y, z that is not 0 is positive.
        scalar_first: in the order (w, x, y, z)."""
        q = self.quat
        if canonical:
            first = q[..., 2]
            for i in (1, 0, 3):  # w decides, then x, y, z
                first = fnp.where(q[..., i] == 0, first, q[..., i])
            q = fnp.where((first < 0)[..., None], -q, q)
        return fnp.roll(q, 1, -1) if scalar_first else q

    def as_matrix(self) -> Any:
        """(..., 3, 3)."""
        x, y, z, w = (self.quat[..., i] for i in range(4))
        rows = [
            [x * x - y * y - z * z + w * w, 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), y * y - x * x - z * z + w * w, 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), z * z + w * w - x * x - y * y],
        ]
        return fnp.stack([fnp.stack(row, -1) for row in rows], -2)

    def as_rotvec(self, degrees: bool = False) -> Any:
        """(..., 3): the axis times the angle, which is at most pi."""
        q = fnp.where(self.quat[..., 3:] < 0, -self.quat, self.quat)
        v, w = q[..., :3], q[..., 3:]
        s = _norm2(v)
        small = s <= 1e-6 * w * w
        sin, cos = fnp.sqrt(fnp.where(small, 1.0, s)), fnp.where(small, w, 1.0)
        ratio = s / (cos * cos)
        series = (2 - ratio * (2 / 3) + ratio * ratio * (2 / 5)) / cos
        scale = fnp.where(small, series, 2 * fnp.arctan2(sin, w) / sin)
        return v * (fnp.rad2deg(scale) if degrees else scale)

    def as_mrp(self) -> Any:
        """(..., 3): modified Rodrigues parameters, of length 1 at most."""
        q = fnp.where(self.quat[..., 3:] < 0, -self.quat, self.quat)
        return q[..., :3] / (1 + q[..., 3:])

    def as_euler(self, seq: str, degrees: bool = False) -> Any:
        """(..., 3) angles about the axes of seq, as in `from_euler`. Where the first and third axis fall together (gimbal
        lock) the third angle is 0."""
        angles = euler_angles(self.quat, *letters("Rotation.as_euler", seq, 3))
        return fnp.rad2deg(angles) if degrees else angles

    # -- what is done with it --------------------------------------------------------------------------------------

    def apply(self, vectors: Any, inverse: bool = False) -> Any:
        """The vectors (..., 3), rotated; leading axes are broadcast. inverse: rotated back."""
        m = self.as_matrix()
        m = fnp.swapaxes(m, -1, -2) if inverse else m
        return fnp.matvec(m, _vectors("Rotation.apply", vectors, 3))

    def __mul__(self, other: Rotation) -> Rotation:
        if not isinstance(other, Rotation):
            return NotImplemented
        return Rotation(_normalised(_product(self.quat, other.quat)))

    def inv(self) -> Rotation:
        """The rotation back."""
        return Rotation(fnp.concatenate([-self.quat[..., :3], self.quat[..., 3:]], -1))

    def magnitude(self) -> Any:
        """The angle, 0 to pi."""
        s = _norm2(self.quat[..., :3])
        still = s == 0  # no direction to differentiate in
        sin = fnp.where(still, 0.0, fnp.sqrt(fnp.where(still, 1.0, s)))[..., 0]
        return 2 * fnp.arctan2(sin, fnp.abs(self.quat[..., 3]))

    def mean(self, weights: Any = None) -> Rotation:
        """The rotation nearest to several, in the sum of the squared Frobenius distances of their matrices.

        Markley et al., "Averaging quaternions", 2007. weights: of each, a vector."""
        if self.single:
            raise ShapeError(f"Rotation.mean: of a single rotation, at {describe(here())}; concatenate some")
        w = fnp.ones(len(self), self.quat.dtype) if weights is None else fnp.asarray(weights, self.quat.dtype)
        if w.shape != (len(self),):
            raise ShapeError(
                f"Rotation.mean: weights {w.aval} for {len(self)} rotations, at {describe(here())}"
            )
        return Rotation(fnp.linalg.eigh((w[:, None] * self.quat).T @ self.quat)[1][:, -1])

    @property
    def single(self) -> bool:
        """Whether this is one rotation, without leading axes."""
        return self.quat.ndim == 1

    def __getitem__(self, indexer: Any) -> Rotation:
        if self.single:
            raise ArgumentError(f"a single Rotation has no parts to index, at {describe(here())}")
        return Rotation(self.quat[indexer])

    def __len__(self) -> int:
        if self.single:
            raise ArgumentError(f"a single Rotation has no len(), at {describe(here())}")
        return self.quat.shape[0]

    def __bool__(self) -> bool:
        return True


def _product(p: Any, q: Any) -> Any:
    """The product of quaternions."""
    (a, b, c, w), (x, y, z, v) = ([r[..., i] for i in range(4)] for r in (p, q))
    return fnp.stack(
        [
            w * x + a * v + b * z - c * y,
            w * y - a * z + b * v + c * x,
            w * z + a * y - b * x + c * v,
            w * v - a * x - b * y - c * z,
        ],
        -1,
    )


class Slerp(Module):
    """Rotations between given ones, turning at a constant rate from each to the next (spherical linear interpolation).

    Slerp(times, rotations): times is an increasing vector, rotations one for each. Called with a time or a vector of
    times it gives rotations; before the first and after the last time the turning goes on. A pytree.
    Raises ShapeError if the times do not fit the rotations.

    >>> s = Slerp([0.0, 1.0], Rotation.from_rotvec([[0.0, 0.0, 0.0], [0.0, 0.0, 2.0]]))
    >>> print(s(0.25).as_rotvec())
    [0.  0.  0.5]
    """

    times: Any
    timedelta: Any
    rotations: Rotation
    rotvecs: Any

    def __init__(self, times: Any, rotations: Rotation):
        if not isinstance(rotations, Rotation) or rotations.single or len(rotations) < 2:
            raise ArgumentError(
                f"Slerp: the rotations are not a Rotation of two or more, at {describe(here())}"
            )
        times = fnp.asarray(times, rotations.quat.dtype)
        if times.shape != (len(rotations),):
            raise ShapeError(
                f"Slerp: times {times.aval} for {len(rotations)} rotations, at {describe(here())}"
            )
        self.times = times
        self.timedelta = fnp.diff(times)
        self.rotations = rotations[:-1]
        self.rotvecs = (self.rotations.inv() * rotations[1:]).as_rotvec()

    @classmethod
    def init(cls, times: Any, rotations: Rotation) -> Slerp:
        """Slerp(times, rotations), as JAX spells it."""
        return cls(times, rotations)

    def __call__(self, times: Any) -> Rotation:
        at = fnp.asarray(times, self.times.dtype)
        if at.ndim > 1:
            raise ShapeError(f"Slerp: times {at.aval}, at {describe(here())}; a number or a vector")
        i = fnp.clip(fnp.searchsorted(self.times, at) - 1, 0, self.timedelta.shape[0] - 1)
        part = (at - self.times[i]) / self.timedelta[i]
        return self.rotations[i] * Rotation.from_rotvec(self.rotvecs[i] * part[..., None])
