"""fnn.scipy.spatial.transform: rotations against SciPy's, in every description; derivatives where they are delicate."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.spatial import transform as reference

import fnn
import fnn.numpy as fnp
from fnn.errors import ArgumentError, ShapeError
from fnn.scipy.spatial.transform import Rotation, Slerp

RNG = np.random.default_rng(5)
QUATS = RNG.normal(size=(20, 4))
EULER = ["".join(s) for s in itertools.product("xyz", repeat=3) if s[0] != s[1] != s[2]]


def pair(dtype: str = "float64") -> tuple[Rotation, Any]:
    return Rotation.from_quat(fnp.asarray(QUATS, dtype)), reference.Rotation.from_quat(QUATS)


def same(got: Rotation, want: Any, tolerance: float = 1e-12) -> None:
    np.testing.assert_allclose(got.as_matrix(), want.as_matrix(), atol=tolerance)


@pytest.mark.parametrize("dtype, tolerance", [("float32", 3e-6), ("float64", 1e-13)])
def test_descriptions(dtype: str, tolerance: float) -> None:
    r, s = pair(dtype)
    for name in ("as_quat", "as_matrix", "as_rotvec", "as_mrp", "magnitude"):
        got = getattr(r, name)()
        assert got.dtype == dtype
        np.testing.assert_allclose(got, getattr(s, name)(), tolerance, tolerance, err_msg=name)
    np.testing.assert_allclose(r.as_rotvec(degrees=True), s.as_rotvec(degrees=True), 1e-5)
    np.testing.assert_allclose(r.as_quat(canonical=True), s.as_quat(canonical=True), tolerance, tolerance)
    np.testing.assert_allclose(
        r.as_quat(scalar_first=True), s.as_quat(scalar_first=True), tolerance, tolerance
    )
    for name in ("rotvec", "mrp", "matrix"):
        there = getattr(Rotation, f"from_{name}")(getattr(r, f"as_{name}")())
        same(there, s, 10 * tolerance)


def test_canonical_quaternions_where_numbers_are_zero() -> None:
    q = np.array([[0.0, 0, -1, 0], [0, -1, 1, 0], [-1, 1, 1, 0], [1, 1, 1, -1], [0, 0, 1, 0]])
    want = reference.Rotation.from_quat(q).as_quat(canonical=True)
    np.testing.assert_allclose(Rotation.from_quat(q).as_quat(canonical=True), want, 1e-6)


@pytest.mark.parametrize("seq", [*EULER, *map(str.upper, EULER)])
def test_euler_angles(seq: str) -> None:
    r, s = pair()
    np.testing.assert_allclose(r.as_euler(seq), s.as_euler(seq), 1e-9, 1e-9)
    angles = RNG.uniform(-3, 3, (5, 3))
    same(Rotation.from_euler(seq, fnp.asarray(angles, "float64")), reference.Rotation.from_euler(seq, angles))
    # gimbal lock: the middle angle puts the outer axes on top of each other
    for middle in [0.0, np.pi] if seq[0] == seq[2] else [np.pi / 2, -np.pi / 2]:
        locked = reference.Rotation.from_euler(seq, [0.3, middle, 0.4])
        got = Rotation.from_quat(fnp.asarray(locked.as_quat(), "float64")).as_euler(seq)
        same(Rotation.from_euler(seq, got), locked, 1e-7)
        assert got[2] == 0


def test_angles_about_one_and_two_axes() -> None:
    same(
        Rotation.from_euler("z", 90, degrees=True), reference.Rotation.from_euler("z", 90, degrees=True), 1e-6
    )
    same(Rotation.from_euler("X", [[0.1], [0.2]]), reference.Rotation.from_euler("X", [[0.1], [0.2]]), 1e-6)
    same(Rotation.from_euler("yx", [[0.1, 0.2]]), reference.Rotation.from_euler("yx", [[0.1, 0.2]]), 1e-6)


def test_products_and_vectors() -> None:
    r, s = pair()
    v = RNG.normal(size=(20, 3))
    same(r * r[3].inv(), s * s[3].inv())
    np.testing.assert_allclose(r.apply(fnp.asarray(v, "float64")), s.apply(v), 1e-12)
    np.testing.assert_allclose(
        r[0].apply(fnp.asarray(v, "float64"), inverse=True), s[0].apply(v, inverse=True), 1e-12
    )
    same(r[2:5], s[2:5])
    same(Rotation.concatenate([r[0], r[4:6]]), reference.Rotation.concatenate([s[0], s[4:6]]))
    assert len(r) == 20 and r[0].single and not r.single
    same(Rotation.identity(), reference.Rotation.identity())
    assert Rotation.identity(3).quat.shape == (3, 4)


@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 3.0, 0.5]])
def test_mean(weights: Any) -> None:
    r, s = pair()
    same(r[:4].mean(weights), s[:4].mean(weights), 1e-10)


def test_random_rotations_are_uniform() -> None:
    r = Rotation.random(fnn.random.key(0), 20_000)
    np.testing.assert_allclose(fnp.linalg.norm(r.quat, axis=-1), 1.0, 1e-5)
    np.testing.assert_allclose(fnp.mean(r.as_matrix(), 0), 0.0, atol=0.02)
    assert Rotation.random(fnn.random.key(0)).single


def test_interpolation_between_rotations() -> None:
    r, s = pair()
    times = np.array([0.0, 1.0, 2.5, 4.0])
    got = Slerp.init(times, r[:4])
    want = reference.Slerp(times, s[:4])
    at = np.array([0.0, 0.3, 1.0, 2.0, 4.0])
    same(got(at), want(at))
    same(got(0.3), want(0.3))
    same(fnn.jit(lambda f, t: f(t))(got, fnp.asarray(at)), want(at), 1e-6)


ROUND_TRIPS: dict[str, Callable[[Any], Any]] = {
    "rotvec": lambda v: Rotation.from_rotvec(v).as_rotvec(),
    "mrp": lambda v: Rotation.from_mrp(v).as_mrp(),
    "matrix": lambda v: Rotation.from_matrix(Rotation.from_rotvec(v).as_matrix()).as_rotvec(),
    "euler": lambda v: Rotation.from_euler("xyz", v).as_euler("xyz"),
}


@pytest.mark.parametrize("name", ROUND_TRIPS)
@pytest.mark.parametrize("v", [[0.3, -0.2, 0.5], [0.0, 0.0, 0.0], [1e-4, 0.0, 0.0]])
def test_there_and_back_again_is_the_identity_with_derivative_one(name: str, v: list[float]) -> None:
    v = fnp.asarray(v, "float64")
    trip = ROUND_TRIPS[name]
    np.testing.assert_allclose(trip(v), v, 1e-12, 1e-14)
    np.testing.assert_allclose(fnn.jit(fnn.jacrev(trip))(v), np.eye(3), atol=1e-9)
    np.testing.assert_allclose(fnn.jacfwd(trip)(v), np.eye(3), atol=1e-9)


def test_under_vmap_and_jit() -> None:
    r, s = pair()
    f = lambda q, v: (Rotation(q) * Rotation.from_euler("xz", v[:2])).apply(v)
    v = RNG.normal(size=(20, 3))
    got = fnn.jit(fnn.vmap(f))(r.quat, fnp.asarray(v, "float64"))
    want = (s * reference.Rotation.from_euler("xz", v[:, :2])).apply(v)
    np.testing.assert_allclose(got, want, 1e-11)
    rotated = fnn.vmap(lambda one: one.inv())(r)  # a pytree
    same(rotated, s.inv())


def test_refusals() -> None:
    r, _ = pair()
    with pytest.raises(ArgumentError, match="three of x, y, z"):
        r.as_euler("xy")
    with pytest.raises(ArgumentError, match="twice in a row"):
        Rotation.from_euler("xxy", [0.0, 0.0, 0.0])
    with pytest.raises(ArgumentError, match="'xY'"):
        Rotation.from_euler("xY", [0.0, 0.0])
    with pytest.raises(ShapeError, match="angle for each letter"):
        Rotation.from_euler("xy", [0.0, 0.0, 1.0])
    with pytest.raises(ShapeError, match="the 4 numbers"):
        Rotation.from_quat([1.0, 2.0, 3.0])
    with pytest.raises(ShapeError, match=r"\(3, 3\) matrix"):
        Rotation.from_matrix([1.0, 2.0, 3.0])
    for use in (len, lambda r: r[0]):
        with pytest.raises(TypeError, match="single"):
            use(r[0])
    with pytest.raises(ShapeError, match="weights"):
        r.mean([1.0])
    with pytest.raises(ShapeError, match="single"):
        r[0].mean()
    with pytest.raises(ShapeError, match="times"):
        Slerp([0.0, 1.0], r)
    with pytest.raises(ArgumentError, match="two or more"):
        Slerp([0.0], r[0])
    with pytest.raises(ShapeError, match="a number or a vector"):
        Slerp(np.arange(20.0), r)(np.zeros((2, 2)))
