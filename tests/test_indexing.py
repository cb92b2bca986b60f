"""Indexing against NumPy's: reading, `.at[]`, and what is refused."""

from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn.core.trace import closed_stage
from fnn.errors import (
    ArgumentError,
    ImmutableError,
    IndexingError,
    NonConcreteBooleanIndexError,
    ShapeError,
    TracerIntegerConversionError,
)

X = np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6)
I = np.array([0, 3, -1], np.int32)  # noqa: E741  # integers
K = np.array([[1, 0, 2], [4, -5, 3]], np.int32)
MASK1 = np.array([True, False, True, True])
MASK3 = X % 3 == 0

KEYS: list[Any] = [
    0, -1, (1, 2), (1, -2, 3), slice(None), slice(1, 3), slice(None, None, 2), slice(None, None, -1),
    slice(3, 0, -2),
    slice(-3, None), slice(5, 2), slice(2, 2), ..., None, (None, 1), (..., 0), (..., None), (0, ..., 1),
    (slice(1, 3), None, 2),
    (slice(None), slice(None, None, -2), slice(1, 6, 3)), (None, ..., None),
    (1, slice(None), None, slice(2, 4)), np.int64(2), (),
    I, (I, 0), (0, I), (I, slice(None), I), (slice(None), I), (slice(None), I, I),
    (slice(None), I, slice(1, 5, 2)), K % 4,
    (K % 4, K), (I, None, 1), (None, I, ..., 2), (0, slice(None), I), (I[:, None], K[:1]), (slice(1, 3), K),
    (..., I), (I, ..., I),
    [0, 2], ([0, 1], [1, 2]), (slice(None, None, -1), I), np.zeros((0,), np.int32),
    (slice(None), np.zeros((2, 0), np.int32)), np.array(1),
    MASK1, (slice(None), MASK1[[0, 1, 2, 3, 0]]), MASK3, (MASK1, 0), (MASK1, slice(None), I[[0, 1, 2]]),
    MASK3[:, :, 0], [True, False, True, False],
    (..., MASK3[0, 0]), I.astype(np.int8), I.astype(np.uint8) % 3, (slice(None), 1, I, I), (I, 1),
    (2, I, None, I), (slice(None), None, I, None),
    True, False, np.array(True), (0, True), (True, False), (slice(None), True, slice(1, 3)), (True, I),
    (..., np.array(False)),
    np.zeros(0, bool), (0, np.zeros(0, bool)), np.zeros((4, 0), bool),
]  # fmt: skip


def no_extra_axis(key: Any) -> bool:
    parts = key if isinstance(key, tuple) else (key,)
    return sum(p is not None and p is not Ellipsis for p in parts) <= 3


KEYS = [k for k in KEYS if no_extra_axis(k)]


def arrays_of(key: Any) -> Any:
    """The same index with fnn's arrays for NumPy's."""
    if isinstance(key, tuple):
        return tuple(map(arrays_of, key))
    return fnp.asarray(key) if isinstance(key, np.ndarray) else key


def is_static(key: Any) -> bool:
    return all(
        not isinstance(p, (np.ndarray, list, bool)) for p in (key if isinstance(key, tuple) else (key,))
    )


@pytest.mark.parametrize("number", range(len(KEYS)))
def test_reading_is_numpys(number: int) -> None:
    key = KEYS[number]
    for form in (key, arrays_of(key)):
        out = fnp.asarray(X)[form]
        np.testing.assert_array_equal(np.asarray(out), X[key])
        assert out.shape == X[key].shape and out.dtype == np.float32


@pytest.mark.parametrize("number", range(len(KEYS)))
def test_known_integers_and_slices_never_gather(number: int) -> None:
    key = KEYS[number]
    graph = closed_stage(lambda x: [x[key]], [fnp.asarray(X).aval])
    assert graph.outputs[0].aval.shape == X[key].shape
    names = {e.primitive.name for e in graph.equations}
    assert ("gather" in names) <= (not is_static(key))
    if is_static(key):
        assert names <= {"slice", "reshape", "rev"}


def test_traced_indices_are_numpys() -> None:
    x = fnp.asarray(X)
    for index in (I, K % 4, np.int32(2), np.int32(-1), np.int8(-2), np.uint8(3)):
        for build in (
            lambda i: i,
            lambda i: (slice(None), i),
            lambda i: (i, slice(1, 4), 2),
            lambda i: (i, None, i),
            lambda i: (..., i),
        ):
            f = lambda x, i, build=build: x[build(i)]
            batch = fnn.vmap(f, (None, 0))(x, np.stack([index, index]))
            np.testing.assert_array_equal(np.asarray(batch)[1], X[build(index)])
            graph = closed_stage(lambda x, i, f=f: [f(x, i)], [x.aval, fnp.asarray(index).aval])
            assert graph.outputs[0].aval.shape == X[build(index)].shape


def test_a_traced_number_is_a_dynamic_slice() -> None:
    graph = closed_stage(lambda x, i: [x[i, 1:3]], [fnp.asarray(X).aval, fnp.asarray(np.int32(0)).aval])
    names = {e.primitive.name for e in graph.equations}
    assert "dynamic_slice" in names and "gather" not in names


UPDATES = {
    "set": lambda a, k, v: a.__setitem__(k, v), "add": lambda a, k, v: np.add.at(a, k, v),
    "subtract": lambda a, k, v: np.subtract.at(a, k, v), "multiply": lambda a, k, v: np.multiply.at(a, k, v),
    "divide": lambda a, k, v: np.divide.at(a, k, v), "min": lambda a, k, v: np.minimum.at(a, k, v),
    "max": lambda a, k, v: np.maximum.at(a, k, v), "power": lambda a, k, v: np.power.at(a, k, v),
}  # fmt: skip


@pytest.mark.parametrize("how", UPDATES)
@pytest.mark.parametrize("number", range(len(KEYS)))
def test_updates_are_numpys(number: int, how: str) -> None:
    key, rng = KEYS[number], np.random.default_rng(number)
    shape = X[key].shape
    base = (X / 40 + 0.5).astype(np.float32)
    plain = key if not isinstance(key, list) else np.asarray(key)
    plain = (
        tuple(np.asarray(p) if isinstance(p, list) else p for p in plain)
        if isinstance(plain, tuple)
        else plain
    )
    for values in (
        np.float32(1.5),
        rng.uniform(0.5, 2, shape[-1:]).astype(np.float32),
        rng.uniform(0.5, 2, shape).astype(np.float32),
    ):
        if how == "power" and np.ndim(values):
            continue  # several powers of one element multiply, as in JAX; NumPy's `at` agrees for equal ones alone
        if how == "set" and _repeats(plain):
            continue  # NumPy does not say which of several values stays
        expected = base.copy()
        UPDATES[how](expected, plain, values)
        out = getattr(fnp.asarray(base).at[key], how)(values)
        np.testing.assert_allclose(np.asarray(out), expected, rtol=1e-4)


def _repeats(key: Any) -> bool:
    places = np.arange(X.size).reshape(X.shape)[key]
    return len(np.unique(places)) < np.size(places)


@pytest.mark.parametrize("number", range(0, len(KEYS), 3))
@pytest.mark.parametrize("how", ["set", "add", "multiply"])
def test_derivatives_of_updates_agree(number: int, how: str) -> None:
    key, rng = KEYS[number], np.random.default_rng(number)
    x, v = fnp.asarray(X / 60), fnp.asarray(rng.normal(size=X[key].shape).astype(np.float32))
    tx, tv = (fnp.asarray(rng.normal(size=a.shape).astype(np.float32)) for a in (x, v))
    f = lambda x, v: getattr(x.at[key], how)(v, unique_indices=how == "multiply")
    if how == "multiply" and _repeats(key):
        return
    out, t = fnn.jvp(f, (x, v), (tx, tv))
    h = 1e-2
    numeric = (np.asarray(f(x + h * tx, v + h * tv)) - np.asarray(f(x - h * tx, v - h * tv))) / (2 * h)
    np.testing.assert_allclose(np.asarray(t), numeric, rtol=2e-2, atol=2e-2)
    ct = fnp.asarray(rng.normal(size=out.shape).astype(np.float32))
    bx, bv = fnn.vjp(f, x, v)[1](ct)
    np.testing.assert_allclose(
        float(fnp.vdot(ct, t)), float(fnp.vdot(bx, tx) + fnp.vdot(bv, tv)), rtol=1e-3, atol=1e-3
    )


def test_reading_has_the_derivative_of_a_scatter() -> None:
    table = fnp.asarray(X[:, :, 0])
    g = fnn.grad(lambda t: (t[I] ** 2).sum())(table)
    expected = np.zeros((4, 5), np.float32)
    np.add.at(expected, I, 2 * X[:, :, 0][I])
    np.testing.assert_allclose(np.asarray(g), expected)


def test_modes_say_what_is_read_and_written_out_of_range() -> None:
    x = fnp.arange(4.0)
    far = fnp.array([1, 9, -1])
    assert x[far].tolist() == [1, 3, 3]
    assert x.at[far].get(mode="fill", fill_value=-7).tolist() == [1, -7, 3]
    assert np.isnan(x.at[far].get(mode="fill").tolist()[1])
    assert x.at[far].set(9).tolist() == [0, 9, 2, 9]
    assert x.at[far].set(9, mode="clip").tolist() == [0, 9, 2, 9]
    assert x.at[fnp.array([7])].add(1, mode="clip").tolist() == [0, 1, 2, 4]
    assert x.at[fnp.array([7])].add(1).tolist() == [0, 1, 2, 3]
    with pytest.raises(ArgumentError, match="mode 'wrong'"):
        x.at[far].get(mode="wrong")


def test_values_take_the_dtype_of_the_array() -> None:
    assert fnp.arange(3).at[0].set(2.9).tolist() == [2, 1, 2]
    assert fnp.zeros(3, fnp.bfloat16).at[1].add(1.5).dtype == fnp.bfloat16
    assert fnp.array([True, False]).at[1].set(True).tolist() == [True, True]
    assert fnp.arange(4).at[fnp.array([1, 1])].apply(lambda v: v * 10).tolist() == [0, 100, 2, 3]


def test_masks_write_while_tracing() -> None:
    x = fnp.asarray(X)
    f = lambda x: x.at[x > 50].set(0.0)
    np.testing.assert_array_equal(np.asarray(f(x)), np.where(X > 50, 0, X))
    np.testing.assert_array_equal(np.asarray(fnn.vmap(f)(x)), np.where(X > 50, 0, X))
    graph = closed_stage(lambda x: [f(x), x.at[x[:, 0, 0] > 1].add(1.0), x.at[x > 3].multiply(2)], [x.aval])
    assert [o.aval.shape for o in graph.outputs] == [X.shape] * 3
    np.testing.assert_array_equal(
        np.asarray(x.at[MASK1].add(fnp.arange(6.0))), X + MASK1[:, None, None] * np.arange(6)
    )
    np.testing.assert_array_equal(
        np.asarray(x.at[MASK1].apply(lambda v: -v)), np.where(MASK1[:, None, None], -X, X)
    )


def test_keys_are_indexed_like_numbers() -> None:
    keys = fnn.random.split(fnn.random.key(0), 4)
    assert keys[1].shape == () and keys[1:3].shape == (2,) and keys[fnp.array([0, 2])].shape == (2,)
    assert len(list(keys)) == 4
    data = np.asarray(fnn.random.key_data(keys))
    np.testing.assert_array_equal(np.asarray(fnn.random.key_data(keys[2])), data[2])
    swapped = keys.at[0].set(keys[3])
    np.testing.assert_array_equal(np.asarray(fnn.random.key_data(swapped[0])), data[3])


HERE = r"test_indexing\.py:\d+"


@pytest.mark.parametrize(
    "key, message",
    [
        (4, rf"index 4 is out of range for axis 0 of size 4.*{HERE}.*from -4 to 3"),
        ((0, -6), "index -6 .*axis 1 of size 5"),
        (1.5, rf"1\.5 \(float\) is no index, at .*{HERE}.*write 1, or int"),
        (np.array([0.5, 1.0]), r"float64 is no index.*astype\(int\)"),
        ("a", "'a' .*is no index"), ((0, 0, 0, 0), rf"too many indices.*{HERE}.*3 axes, 4"),
        ((..., 0, ...), "more than one ellipsis"),
        (slice(None, None, 0), "step of 0"), (slice(0.5), "bound that is no integer"),
        (np.array([True, False]), r"shape \(2,\) does not fit"),
        (np.array([0.5]), "is no index"),
    ],
)  # fmt: skip
def test_bad_indices_are_refused(key: Any, message: str) -> None:
    x = fnp.asarray(X)
    with pytest.raises(IndexingError, match=message):
        x[key]
    with pytest.raises(IndexError):
        x.at[key].set(0)


def test_arrays_that_do_not_broadcast_are_refused() -> None:
    with pytest.raises(ShapeError, match=rf"incompatible shapes for broadcasting: \(3,\) and \(2,\).*{HERE}"):
        fnp.asarray(X)[I, np.array([0, 1])]
    with pytest.raises(ShapeError, match=r"values of shape \(7,\) do not broadcast.*\(5, 6\)"):
        fnp.asarray(X).at[0].set(np.zeros(7))
    with pytest.raises(IndexingError, match="size 0"):
        fnp.zeros((0, 2))[fnp.array([0])]


def test_a_traced_mask_is_refused_with_the_way_out() -> None:
    def f(x: Any) -> Any:
        return x[x > 0]

    with pytest.raises(NonConcreteBooleanIndexError, match=rf"{HERE}.*where\(mask, x, 0\).*size=n"):
        fnn.make_ir(f)(fnp.arange(3.0))
    with pytest.raises(TracerIntegerConversionError, match=rf"{HERE}.*dynamic_slice_in_dim"):
        fnn.make_ir(lambda x, i: x[i : i + 2])(fnp.arange(3.0), 1)


def test_masks_read_under_grad() -> None:
    g = fnn.grad(lambda x: (x[x > 1] ** 2).sum())(fnp.arange(4.0))
    assert g.tolist() == [0, 0, 4, 6]


@pytest.mark.parametrize(
    "key, shown",
    [(0, "0"), ((1, slice(None)), "1, :"), (slice(1, None, 2), "1::2"), (..., r"\.\.\."), (I, "i")],
)
def test_assignment_shows_what_to_write(key: Any, shown: str) -> None:
    x = fnp.asarray(X)
    with pytest.raises(ImmutableError, match=rf"{HERE}.*x = x\.at\[{shown}\]\.set\(v\)"):
        x[key] = 1.0
    with pytest.raises(ImmutableError, match="never change"):
        del x[0]
