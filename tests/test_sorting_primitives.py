"""sort, top_k, threefry2x32, cholesky and triangular_solve against independent references."""

import functools
from typing import Any

import numpy as np
import pytest
import scipy.linalg
from primitive_kernels import assert_same, holds_complex, jvp, run_kernel, vjp

from fnn import dtypes
from fnn.core.array import from_numpy
from fnn.core.lowering import Decompose
from fnn.core.primitive import Primitive
from fnn.errors import ArgumentError, DtypeError, ShapeError
from fnn.primitives.linalg import cholesky, triangular_solve
from fnn.primitives.random_bits import threefry2x32
from fnn.primitives.sorting import sort, top_k

PRINTERS = ("interpreter", "vector64", "vector16", "numba")
PARAMS: dict[str, Any] = {"axis": 0, "keys": 1, "stable": True}


def compare(x: Any, y: Any) -> int:
    """-1, 0 or 1: NaN is greater than everything else and equal to itself."""
    if x != x or y != y:
        return int(x != x) - int(y != y)
    return int(x > y) - int(x < y)


def reference(operands: list[np.ndarray], keys: int) -> list[np.ndarray]:
    """Python's own stable sort of tuples, along the only axis."""

    def order(i: int, j: int) -> int:
        return next((c for c in (compare(x[i], x[j]) for x in operands[:keys]) if c), 0)

    rows = sorted(range(len(operands[0])), key=functools.cmp_to_key(order))
    return [x[rows] for x in operands]


def bits(x: np.ndarray) -> Any:
    """What tells 0 from -0, with NaN in one form."""
    if not dtypes.is_float(x.dtype):
        return x
    nan = np.isnan(x)
    return np.where(nan, 0, x.view(f"u{x.dtype.itemsize}")), nan


CODES = ["f4", "f8", "f2", dtypes.bfloat16, "i1", "i4", "i8", "u1", "u8", "b1"]


@pytest.mark.parametrize("code", CODES, ids=str)
@pytest.mark.parametrize("n", [0, 1, 2, 15, 16, 17, 33, 64, 100, 257])
def test_sort_is_stable_in_every_dtype(code: Any, n: int, rng: np.random.Generator) -> None:
    x = draw(code, n, rng)
    operands = [x, np.arange(n, dtype=np.int32)]
    want = reference(operands, 1)
    for got in (
        [y.value for y in sort(*[from_numpy(a, a.dtype) for a in operands], **PARAMS)],
        run_kernel(sort, operands, PARAMS, "interpreter"),
    ):
        for g, w in zip(got, want, strict=True):
            assert g.dtype == w.dtype
            np.testing.assert_array_equal(bits(g), bits(w))


def draw(code: Any, n: int, rng: np.random.Generator) -> np.ndarray:
    """With many ties, infinities, NaN and zeros of both signs where there are such."""
    dtype = np.dtype(code)
    if dtype.kind == "b":
        return rng.random(n) < 0.5
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        special = np.array([limits.min, limits.max, 0, 1], dtype)
    else:
        special = np.array([0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1.0], np.float64).astype(dtype)
    plain = rng.integers(0, 20, n).astype(dtype)
    return np.where(rng.random(n) < 0.4, special[rng.integers(0, len(special), n)], plain).astype(dtype)


@pytest.mark.parametrize("n", [5, 16, 40, 300])
def test_sort_by_several_keys(n: int, rng: np.random.Generator) -> None:
    operands = [
        draw("f4", n, rng),
        draw("i1", n, rng),
        draw("b1", n, rng),
        rng.integers(0, 2**63, n).view(dtypes.key_dtype),
    ]
    for keys in (1, 2, 3):
        params = {**PARAMS, "keys": keys}
        want = reference(operands, keys)
        for g, w in zip(run_kernel(sort, operands, params, "vector64"), want, strict=True):
            np.testing.assert_array_equal(bits(g), bits(w)) if g.dtype.names is None else assert_same(g, w)
        for g, w in zip(sort(*[from_numpy(a, a.dtype) for a in operands], **params), want, strict=True):
            np.testing.assert_array_equal(
                bits(g.value), bits(w)
            ) if g.dtype != dtypes.key_dtype else assert_same(g.value, w)


@pytest.mark.parametrize("primitive", [sort, top_k], ids=str)
@pytest.mark.parametrize("printer", PRINTERS)
def test_loop_programs_of_samples(primitive: Primitive, printer: str, rng: np.random.Generator) -> None:
    """As vectors every sample; through Numba, which compiles slowly, a few."""
    whole = [
        s for s in primitive.samples if not holds_complex(primitive, s)
    ]  # those have no loops of their own
    samples = whole[::8] if printer == "numba" else whole
    for sample in samples:
        args = [from_numpy(a, a.dtype) if isinstance(a, np.ndarray) else a for a in sample.arrays(rng)]
        want = [w.value for w in primitive(*args, **sample.params)]
        for backwards in (False, True) if printer == "interpreter" else (False,):
            for g, w in zip(
                run_kernel(primitive, args, sample.params, printer, backwards), want, strict=True
            ):
                assert_same(g, w)


@pytest.mark.parametrize("n", [1000, 70_000])
def test_long_lines(n: int, rng: np.random.Generator) -> None:
    for x in (
        rng.normal(size=n).astype(np.float32),
        rng.integers(-9, 9, n).astype(np.int32),
        np.arange(n, dtype=np.float32),
        np.arange(n, dtype=np.float32)[::-1].copy(),
    ):
        order = np.argsort(x, kind="stable")
        got = run_kernel(sort, [x, np.arange(n, dtype=np.int32)], PARAMS, "vector64")
        np.testing.assert_array_equal(got[0], x[order])
        np.testing.assert_array_equal(got[1], order)
        np.testing.assert_array_equal(run_kernel(sort, [x], PARAMS, "vector64")[0], x[order])


@pytest.mark.parametrize("n", [17, 64, 300, 5000])
def test_keys_too_wide_for_radix_sort_are_merged(n: int, rng: np.random.Generator) -> None:
    operands = [draw("f8", n, rng), draw("i8", n, rng), np.arange(n, dtype=np.int32)]
    want = reference(operands, 2)
    for g, w in zip(run_kernel(sort, operands, {**PARAMS, "keys": 2}, "vector64"), want, strict=True):
        np.testing.assert_array_equal(bits(g), bits(w))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_sort_along_any_axis(axis: int, rng: np.random.Generator) -> None:
    x = rng.normal(size=(5, 37, 4)).astype(np.float32)
    for backwards in (False, True):
        assert_same(
            run_kernel(sort, [x], {**PARAMS, "axis": axis}, "interpreter", backwards)[0], np.sort(x, axis)
        )


@pytest.mark.parametrize("code", CODES, ids=str)
@pytest.mark.parametrize("k", [1, 5, 64, 70])
def test_top_k(code: Any, k: int, rng: np.random.Generator) -> None:
    """Largest first; NaN counts as largest, 0 is above -0, ties go to the lower index."""
    x = draw(code, 140, rng).reshape(2, 70)

    def order(row: np.ndarray, i: int, j: int) -> int:
        c = -compare(row[i], row[j])
        if c == 0 and row.dtype.kind not in "biu" and row[i] == 0:
            c = int(np.signbit(row[i])) - int(np.signbit(row[j]))
        return c

    want = np.array(
        [sorted(range(70), key=functools.cmp_to_key(functools.partial(order, row)))[:k] for row in x]
    )
    for values, indices in (
        run_kernel(top_k, [x], {"k": k}, "interpreter"),
        [y.value for y in top_k(from_numpy(x, x.dtype), k=k)],
    ):
        np.testing.assert_array_equal(indices, want)
        assert indices.dtype == np.int32
        np.testing.assert_array_equal(bits(values), bits(np.take_along_axis(x, want, 1)))


def test_the_gradient_of_a_sort_goes_back_where_it_came_from() -> None:
    x, y = np.array([3, 1, 2], np.float32), np.array([30, 10, 20], np.float32)
    (first, second), pull, active = vjp(sort, (True, False), (x, y), PARAMS)
    assert (
        first.value.tolist() == [1, 2, 3]
        and second.value.tolist() == [10, 20, 30]
        and active == [True, False]
    )
    of_x, of_y = pull([np.array([100, 200, 300], np.float32), None])
    assert of_x.value.tolist() == [300, 100, 200] and of_y is None
    _, tangents = jvp(sort, (x, y), (None, y), PARAMS)
    assert tangents[0] is None and tangents[1].value.tolist() == [10, 20, 30]


def test_errors_of_sorting() -> None:
    with pytest.raises(ShapeError, match="different shapes"):
        sort(np.ones(3), np.ones(4), **PARAMS)
    with pytest.raises(ShapeError, match="not an axis"):
        sort(np.ones(3), **{**PARAMS, "axis": 1})
    with pytest.raises(ArgumentError, match="keys=2"):
        sort(np.ones(3), **{**PARAMS, "keys": 2})
    with pytest.raises(DtypeError, match="no order"):
        sort(np.zeros(3, np.uint64).view(dtypes.key_dtype), **PARAMS)
    with pytest.raises(ShapeError, match="4 elements"):
        top_k(np.ones(3), k=4)


# -- random bits ---------------------------------------------------------------------------------------------

# kat_vectors of the Random123 distribution: counter, key, result; threefry2x32 with 20 rounds
KNOWN = [
    ((0x00000000, 0x00000000), (0x00000000, 0x00000000), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
]


@pytest.mark.parametrize("counter, key, result", KNOWN)
def test_threefry_gives_the_published_words(counter: Any, key: Any, result: Any) -> None:
    words = [np.uint32(w) for w in (*key, *counter)]
    assert isinstance(threefry2x32.lower, Decompose)
    for out in (threefry2x32(*words), threefry2x32.lower.fn(*words)):
        assert tuple(int(y.value) for y in out) == result


def test_threefry_takes_scalar_keys_and_batches(rng: np.random.Generator) -> None:
    counters = rng.integers(0, 2**32, (2, 5)).astype(np.uint32)
    key = np.uint32(7), np.uint32(9)
    out = threefry2x32(*key, *counters)
    for i in range(5):
        one = threefry2x32(*key, counters[0, i], counters[1, i])
        assert [int(y.value) for y in one] == [int(y.value[i]) for y in out]
    with pytest.raises(DtypeError, match="uint32"):
        threefry2x32(1, 2, 3, 4)


# -- linear algebra ------------------------------------------------------------------------------------------


def test_cholesky_reads_the_lower_triangle(rng: np.random.Generator) -> None:
    root = rng.normal(size=(2, 4, 4))
    a = root @ root.transpose(0, 2, 1) + np.eye(4)
    garbled = np.where(np.tri(4), a, 1e6)
    np.testing.assert_allclose(
        cholesky(from_numpy(garbled, garbled.dtype)).value, np.linalg.cholesky(a), rtol=1e-12
    )


def test_cholesky_of_what_is_not_positive_definite() -> None:
    a = np.array([np.eye(2), [[1, 2], [2, 1]]], np.float32)
    assert_same(cholesky(a).value, np.array([np.eye(2), [[np.nan, 0], [np.nan, np.nan]]], np.float32))


@pytest.mark.parametrize(
    "flags",
    [
        (left, lower, transposed, unit)
        for left in (False, True)
        for lower in (False, True)
        for transposed in (False, True)
        for unit in (False, True)
    ],
)
def test_triangular_solve(flags: tuple[bool, ...], rng: np.random.Generator) -> None:
    left, lower, transposed, unit = flags
    a, b = rng.normal(size=(2, 3, 3)) + 3 * np.eye(3), rng.normal(size=(2, *((3, 4) if left else (4, 3))))
    out = triangular_solve(
        from_numpy(a, a.dtype),
        from_numpy(b, b.dtype),
        left_side=left,
        lower=lower,
        transpose_a=transposed,
        unit_diagonal=unit,
    ).value
    for k in range(2):
        matrix, right = (a[k], b[k]) if left else (a[k].T, b[k].T)
        want = scipy.linalg.solve_triangular(
            matrix, right, lower=lower == left, trans=int(transposed), unit_diagonal=unit
        )
        np.testing.assert_allclose(out[k], want if left else want.T, rtol=1e-12)


def test_a_singular_triangle_gives_infinities() -> None:
    a, b = np.array([[0, 0], [2, 1]], np.float32), np.ones((2, 1), np.float32)
    out = triangular_solve(a, b, left_side=True, lower=True, transpose_a=False, unit_diagonal=False)
    assert out.value.tolist() == [[np.inf], [-np.inf]]


def test_errors_of_linear_algebra() -> None:
    with pytest.raises(DtypeError, match="float32, float64"):
        cholesky(np.ones((2, 2), np.float16))
    with pytest.raises(ShapeError, match="square"):
        cholesky(np.ones((2, 3), np.float32))
    params = {"left_side": True, "lower": True, "transpose_a": False, "unit_diagonal": False}
    with pytest.raises(ShapeError, match="left_side=True"):
        triangular_solve(np.ones((2, 2), np.float32), np.ones((3, 2), np.float32), **params)
    with pytest.raises(DtypeError, match="different dtypes"):
        triangular_solve(np.ones((2, 2), np.float32), from_numpy(np.ones((2, 2)), dtypes.float64), **params)
