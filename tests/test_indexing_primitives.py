"""gather, scatter and dynamic slices against loops over single elements, in NumPy and as loop programs."""

import itertools
from typing import Any

import numpy as np
import pytest
from primitive_kernels import Operand, assert_same, holds_complex, jvp, kernel_of, run_kernel, vjp

from fnn import dtypes
from fnn.core.array import from_numpy
from fnn.core.primitive import Primitive, registry
from fnn.errors import ArgumentError, DifferentiationError, DtypeError, ShapeError
from fnn.kernels.loops import Builder
from fnn.primitives.indexing import (
    GatherDimensionNumbers,
    ScatterDimensionNumbers,
    dynamic_slice,
    dynamic_update_slice,
    gather,
    scatter,
)

PRINTERS = ("interpreter", "vector64", "vector16", "numba")
ROWS = GatherDimensionNumbers((1,), (0,), (0,))
SCATTER_ROWS = ScatterDimensionNumbers((1,), (0,), (0,))
COMBINE = {
    "add": np.add,
    "mul": np.multiply,
    "min": np.minimum,
    "max": np.maximum,
    "set": lambda old, new: new,
}


def places(
    operand: tuple[int, ...],
    indices: np.ndarray,
    windows: tuple[int, ...],
    window_axes: tuple[int, ...],
    dropped: tuple[int, ...],
    start_map: tuple[int, ...],
    batching: tuple[int, ...],
    row_batching: tuple[int, ...],
    sizes: tuple[int, ...],
) -> Any:
    """For every place of the windows array: (place, place in the operand with clipped starts, is its window
    in range)."""
    kept = [d for d in range(len(operand)) if d not in dropped and d not in batching]
    for place in np.ndindex(windows):
        row = tuple(place[a] for a in range(len(windows)) if a not in window_axes)
        at, inside = [0] * len(operand), True
        for k, d in enumerate(start_map):
            start = int(indices[(*row, k)])
            inside &= 0 <= start <= operand[d] - sizes[d]
            at[d] = min(max(start, 0), operand[d] - sizes[d])
        for d, a in zip(batching, row_batching, strict=True):
            at[d] = row[a]
        for axis, d in zip(window_axes, kept, strict=True):
            at[d] += place[axis]
        yield place, tuple(at), inside


def random_case(rng: np.random.Generator) -> tuple[Any, ...]:
    """(operand's shape, dimension numbers as a tuple, window sizes, indices): anything that fits."""
    rank = int(rng.integers(1, 5))
    operand = tuple(int(n) for n in rng.integers(1, 5, rank))
    order = [int(d) for d in rng.permutation(rank)]
    paired = int(rng.integers(0, min(rank, 3)))
    batching, others = tuple(sorted(order[:paired])), order[paired:]
    start_map = tuple(others[: int(rng.integers(0, len(others) + 1))])
    dropped = tuple(sorted(d for d in others if rng.random() < 0.4))
    sizes = tuple(
        1 if d in dropped or d in batching else int(rng.integers(1, n + 1)) if rng.random() < 0.5 else n
        for d, n in enumerate(operand)
    )
    depth = int(rng.integers(paired, 4))
    shape = [int(n) for n in rng.integers(1, 4, depth)]
    row_batching = tuple(int(a) for a in rng.permutation(depth)[:paired])
    for d, a in zip(batching, row_batching, strict=True):
        shape[a] = operand[d]
    window_rank = rank - paired - len(dropped)
    window_axes = tuple(sorted(int(a) for a in rng.permutation(depth + window_rank)[:window_rank]))
    indices = np.zeros((*shape, len(start_map)), np.int32)
    for k, d in enumerate(start_map):
        indices[..., k] = rng.integers(-2, operand[d] + 2, shape)
    return operand, (window_axes, dropped, start_map, batching, row_batching), sizes, indices


@pytest.mark.parametrize("case", range(60))
def test_any_dimension_numbers(case: int) -> None:
    rng = np.random.default_rng(case)
    operand, numbers, sizes, indices = random_case(rng)
    x = rng.normal(size=operand).astype(np.float32)
    window_axes, dropped, start_map, batching, row_batching = numbers
    gather_numbers, scatter_numbers = GatherDimensionNumbers(*numbers), ScatterDimensionNumbers(*numbers)
    for mode in ("clip", "fill"):
        params = {"dimension_numbers": gather_numbers, "slice_sizes": sizes, "mode": mode, "fill_value": 7}
        got = gather(x, indices, **params).value
        found = list(
            places(
                operand, indices, got.shape, window_axes, dropped, start_map, batching, row_batching, sizes
            )
        )
        want = np.zeros_like(got)
        for place, at, inside in found:
            want[place] = x[at] if inside or mode == "clip" else 7
        assert_same(got, want)
        assert_same(run_kernel(gather, [x, indices], params, "interpreter", backwards=True)[0], want)
    updates = rng.normal(size=want.shape).astype(np.float32)
    row_axes = [a for a in range(updates.ndim) if a not in window_axes]
    found.sort(key=lambda item: [item[0][a] for a in row_axes])  # rows in order, whatever their axes' place
    for mode, combine in itertools.product(("clip", "drop"), COMBINE):
        params = {
            "dimension_numbers": scatter_numbers,
            "combine": combine,
            "mode": mode,
            "unique": False,
            "sorted": False,
        }
        want = x.copy()
        for place, at, inside in found:
            if inside or mode == "clip":
                want[at] = COMBINE[combine](want[at], updates[place])
        assert_same(scatter(x, indices, updates, **params).value, want)
        assert_same(
            run_kernel(scatter, [x, indices, updates], params, "interpreter", backwards=True)[0], want
        )


@pytest.mark.parametrize("primitive", [gather, scatter, dynamic_slice, dynamic_update_slice], ids=str)
@pytest.mark.parametrize("printer", PRINTERS)
def test_loop_programs_of_samples(primitive: Primitive, printer: str, rng: np.random.Generator) -> None:
    """As vectors every sample; through Numba, which compiles slowly, a few."""
    whole = [
        s for s in primitive.samples if not holds_complex(primitive, s)
    ]  # those have no loops of their own
    samples = whole[::7] if printer == "numba" else whole
    for sample in samples:
        args = [from_numpy(a, a.dtype) if isinstance(a, np.ndarray) else a for a in sample.arrays(rng)]
        want = primitive(*args, **sample.params).value
        for backwards in (False, True) if printer == "interpreter" else (False,):
            assert_same(run_kernel(primitive, args, sample.params, printer, backwards)[0], want)


def test_large_windows_are_cut_into_tiles(rng: np.random.Generator) -> None:
    x = rng.normal(size=(3, 10_000)).astype(np.float32)
    indices = np.array([[2], [0], [2]], np.int32)
    params: dict[str, Any] = {
        "dimension_numbers": ROWS,
        "slice_sizes": (1, 10_000),
        "mode": "clip",
        "fill_value": None,
    }
    assert_same(run_kernel(gather, [x, indices], params, "vector64", backwards=True)[0], x[[2, 0, 2]])
    scattered = {
        "dimension_numbers": SCATTER_ROWS,
        "combine": "add",
        "mode": "clip",
        "unique": False,
        "sorted": False,
    }
    want = x.copy()
    np.add.at(want, [2, 0, 2], x)
    assert_same(run_kernel(scatter, [x, indices, x], scattered, "vector64", backwards=True)[0], want)
    assert kernel_of(gather).tiles((_typed(x), _typed(indices)), (_typed(x),), params) == 9
    assert kernel_of(scatter).tiles((_typed(x), _typed(indices), _typed(x)), (_typed(x),), scattered) == 40


class _typed:
    def __init__(self, x: np.ndarray):
        self.shape, self.dtype, self.size = x.shape, x.dtype, x.size


def test_batch_sizes_share_a_kernel() -> None:
    """Extents above 16 are run-time sizes: the program is the same text."""

    def text(rows: int) -> str:
        b = Builder()
        ins = [Operand(b.argument("f4"), (1000, 64), "f4"), Operand(b.argument("i4"), (rows, 1), "i4")]
        out = Operand(b.argument("f4", output=True), (rows, 64), "f4")
        kernel_of(gather).write(
            b, ins, [out], {"dimension_numbers": ROWS, "slice_sizes": (1, 64), "mode": "clip"}
        )
        return str(b.program)

    assert text(32) == text(100)


@pytest.mark.parametrize(
    "dtype, want",
    [
        (np.float32, np.nan),
        (dtypes.bfloat16, np.nan),
        (np.int8, -128),
        (np.int64, -(2**63)),
        (np.uint16, 65535),
        (np.bool_, True),
    ],
)
def test_fill_by_default(dtype: Any, want: Any) -> None:
    params: dict[str, Any] = {
        "dimension_numbers": GatherDimensionNumbers((), (0,), (0,)),
        "slice_sizes": (1,),
        "mode": "fill",
        "fill_value": None,
    }
    x, indices = np.ones(3, dtype), np.array([[3], [-1], [0]])
    for got in (
        gather(from_numpy(x, dtype), indices, **params).value,
        run_kernel(gather, [x, indices], params, "vector64")[0],
    ):
        assert_same(got, np.array([want, want, 1]).astype(dtype))


def test_filled_keys_are_all_ones() -> None:
    keys = np.arange(3, dtype=np.uint64).view(dtypes.key_dtype)
    out = gather(
        keys,
        np.array([[1], [5]]),
        dimension_numbers=GatherDimensionNumbers((), (0,), (0,)),
        slice_sizes=(1,),
        mode="fill",
        fill_value=None,
    )
    assert out.dtype == dtypes.key_dtype and out.value.view(np.uint64).tolist() == [1, 2**64 - 1]


@pytest.mark.parametrize(
    "indices",
    [
        np.array([[200], [0]], np.uint8),
        np.array([[2**63 + 5], [0]], np.uint64),
        np.array([[2**40], [-(2**40)]], np.int64),
        np.array([[-128], [127]], np.int8),
    ],
    ids=lambda a: str(a.dtype),
)
def test_indices_of_any_integer_type(indices: np.ndarray) -> None:
    x = np.arange(4, dtype=np.float32)
    params: dict[str, Any] = {
        "dimension_numbers": GatherDimensionNumbers((), (0,), (0,)),
        "slice_sizes": (1,),
        "mode": "clip",
        "fill_value": None,
    }
    want = x[[min(max(int(k), 0), 3) for k in indices[:, 0]]]
    held = from_numpy(indices, indices.dtype)
    for printer in ("interpreter", "vector64"):
        assert_same(run_kernel(gather, [x, held], params, printer)[0], want)
    assert_same(gather(x, held, **params).value, want)


def test_of_several_sets_the_last_wins_and_gets_the_gradient() -> None:
    x, updates = np.zeros(3, np.float32), np.array([1, 2, 3, 4, 5], np.float32)
    indices = np.array([[1], [1], [0], [7], [1]], np.int32)
    params: dict[str, Any] = {
        "dimension_numbers": ScatterDimensionNumbers((), (0,), (0,)),
        "combine": "set",
        "mode": "drop",
        "unique": False,
        "sorted": False,
    }
    out, pull = vjp(scatter, (True, False, True), (x, indices, updates), params)
    assert out.value.tolist() == [3, 5, 0]
    of_x, of_indices, of_updates = pull(np.array([10, 20, np.inf], np.float32))
    assert of_indices is None
    assert of_x.value.tolist() == [0, 0, np.inf]
    assert of_updates.value.tolist() == [0, 0, 10, 0, 20]
    _, tangent = jvp(scatter, (x, indices, updates), (None, None, updates * 100), params)
    assert tangent.value.tolist() == [300, 500, 0]


def test_ties_share_the_gradient_of_max() -> None:
    x, updates = np.array([1, 2, 3], np.float32), np.array([1, 1, 5, 3, 0], np.float32)
    indices = np.array([[0], [0], [1], [9], [0]], np.int32)
    params: dict[str, Any] = {
        "dimension_numbers": ScatterDimensionNumbers((), (0,), (0,)),
        "combine": "max",
        "mode": "drop",
        "unique": False,
        "sorted": False,
    }
    _, pull = vjp(scatter, (True, False, True), (x, indices, updates), params)
    of_x, _, of_updates = pull(np.array([3, 10, 100], np.float32))
    np.testing.assert_allclose(of_x.value, [1, 0, 100], rtol=1e-6)
    np.testing.assert_allclose(of_updates.value, [1, 1, 10, 0, 0], rtol=1e-6)


def test_products_at_repeated_places_have_no_derivative_in_the_updates() -> None:
    params: dict[str, Any] = {
        "dimension_numbers": ScatterDimensionNumbers((), (0,), (0,)),
        "combine": "mul",
        "mode": "drop",
        "unique": False,
        "sorted": False,
    }
    args = np.ones(3, np.float32), np.array([[0], [0]]), np.array([2, 3], np.float32)
    with pytest.raises(DifferentiationError, match="unique_indices"):
        vjp(scatter, (True, False, True), args, params)
    out, pull = vjp(scatter, (True, False, False), args, params)
    assert out.value.tolist() == [6, 1, 1] and pull(np.ones(3, np.float32))[0].value.tolist() == [6, 1, 1]


def test_a_gather_has_no_gradient_where_it_filled() -> None:
    params: dict[str, Any] = {
        "dimension_numbers": GatherDimensionNumbers((), (0,), (0,)),
        "slice_sizes": (1,),
        "mode": "fill",
        "fill_value": None,
    }
    x, indices = np.array([1, 2, 3], np.float32), np.array([[2], [5], [2]])
    out, pull = vjp(gather, (True, False), (x, indices), params)
    assert np.isnan(out.value[1]) and pull(np.ones(3, np.float32))[0].value.tolist() == [0, 0, 2]
    assert jvp(gather, (x, indices), (x, None), params)[1].value.tolist() == [3, 0, 3]


def test_evaluation_leaves_its_operands_alone() -> None:
    x = np.arange(3, dtype=np.float32)
    out = gather(
        x,
        np.array([9]),
        dimension_numbers=GatherDimensionNumbers((0,), (), (0,)),
        slice_sizes=(3,),
        mode="fill",
        fill_value=5,
    )
    assert out.value.tolist() == [5, 5, 5] and x.tolist() == [0, 1, 2]
    held = from_numpy(x)
    assert dynamic_update_slice(held, np.ones(1, np.float32), 1).value.tolist() == [0, 1, 2]
    assert dynamic_update_slice(held, np.full(1, 8, np.float32), 1).value.tolist() == [0, 8, 2]
    assert held.value.tolist() == [0, 1, 2]


def test_errors_say_what_does_not_fit() -> None:
    x, indices = np.ones((3, 4), np.float32), np.array([[0]])
    good: dict[str, Any] = {
        "dimension_numbers": ROWS,
        "slice_sizes": (1, 4),
        "mode": "clip",
        "fill_value": None,
    }
    with pytest.raises(DtypeError, match="integers"):
        gather(x, np.ones((1, 1), np.float32), **good)
    with pytest.raises(ArgumentError, match="promise_in_bounds"):
        gather(x, indices, **{**good, "mode": "wrap"})
    with pytest.raises(ShapeError, match=r"slice_sizes \(1, 5\)"):
        gather(x, indices, **{**good, "slice_sizes": (1, 5)})
    with pytest.raises(ShapeError, match="2 components"):
        gather(x, np.array([[0, 0]]), **good)
    with pytest.raises(ShapeError, match="offset_dims"):
        gather(x, indices, **{**good, "dimension_numbers": GatherDimensionNumbers((), (0,), (0,))})
    with pytest.raises(ShapeError, match="window size 1"):
        gather(x, indices, **{**good, "slice_sizes": (2, 4)})
    put: dict[str, Any] = {
        "dimension_numbers": SCATTER_ROWS,
        "combine": "add",
        "mode": "drop",
        "unique": False,
        "sorted": False,
    }
    with pytest.raises(DtypeError, match="different dtypes"):
        scatter(x, indices, np.ones((1, 4), np.int32), **put)
    with pytest.raises(ShapeError, match="do not fit the operand"):
        scatter(x, indices, np.ones((1, 5), np.float32), **put)
    with pytest.raises(ShapeError, match="the updates"):
        scatter(x, indices, np.ones((2, 4), np.float32), **put)
    with pytest.raises(DtypeError, match="bool"):
        scatter(np.ones((3, 4), bool), indices, np.ones((1, 4), bool), **put)
    with pytest.raises(ShapeError, match="2 starts"):
        dynamic_slice(x, 0, sizes=(1, 1))
    with pytest.raises(ShapeError, match="does not fit"):
        dynamic_update_slice(x, np.ones((4, 4), np.float32), 0, 0)


def test_everything_is_registered() -> None:
    assert {"gather", "scatter", "dynamic_slice", "dynamic_update_slice"} <= set(registry)
