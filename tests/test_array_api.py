"""fnn.numpy is the Python array API standard 2024.12: names, signatures, dtypes, special values, inspection, DLPack."""

import inspect
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fnn.numpy as xp
from fnn.config import config
from fnn.errors import AxisError
from tests import array_api_table as table

P = inspect.Parameter


@pytest.fixture(autouse=True)
def in_64_bits() -> Iterator[None]:
    with config.using(enable_x64=True):
        yield


def rows(text: str) -> list[tuple[str, str]]:
    """(name, what stands behind the colon) for every name of every line."""
    lines = [line.partition(":") for line in text.strip().splitlines()]
    return [(name, rest.strip()) for names, _, rest in lines for name in names.split()]


def cases(text: str, width: int) -> list[tuple[str, ...]]:
    found = []
    for name, rest in rows(text):
        for case in rest.split("|"):
            words = case.split()
            assert len(words) == width, (name, case)
            found.append((name, *words))
    return found


# -- signatures -------------------------------------------------------------------------------------------------------


def check(f: Any, wanted: str) -> None:
    """What the standard's arguments bind to, f's bind to."""
    standard = list(inspect.signature(eval(f"lambda {wanted}: None")).parameters.values())
    own = list(inspect.signature(f).parameters.values())
    names = {p.name: p for p in own}
    for place, p in enumerate(q for q in standard if q.kind != P.KEYWORD_ONLY):
        if p.kind == P.VAR_POSITIONAL:
            assert any(q.kind == P.VAR_POSITIONAL for q in own), p
            continue
        assert place < len(own) and own[place].kind in (P.POSITIONAL_ONLY, P.POSITIONAL_OR_KEYWORD), p
        if p.kind == P.POSITIONAL_OR_KEYWORD:
            assert own[place].name == p.name and own[place].kind == p.kind
        if p.default is not P.empty:
            assert own[place].default is not P.empty, p
    for p in standard:
        if p.kind == P.KEYWORD_ONLY:
            assert names[p.name].kind in (P.KEYWORD_ONLY, P.POSITIONAL_OR_KEYWORD), p
            assert names[p.name].default is not P.empty, p
    allowed = len([q for q in standard if q.kind != P.KEYWORD_ONLY])
    required = [
        q for q in own if q.default is P.empty and q.kind in (P.POSITIONAL_ONLY, P.POSITIONAL_OR_KEYWORD)
    ]
    assert len(required) <= allowed  # nothing the standard lacks must be given


@pytest.mark.parametrize(("name", "wanted"), rows(table.SIGNATURES))
def test_functions_take_the_standards_arguments(name: str, wanted: str) -> None:
    check(getattr(xp, name), wanted)
    assert name in xp.__all__


@pytest.mark.parametrize("where", ["LINALG", "FFT", "INFO"])
def test_extensions_and_inspection_take_the_standards_arguments(where: str) -> None:
    owner: Any = {"LINALG": xp.linalg, "FFT": xp.fft, "INFO": xp.__array_namespace_info__()}[where]
    for name, wanted in rows(getattr(table, where)):
        check(getattr(owner, name), wanted)


@pytest.mark.parametrize(("name", "wanted"), rows(table.METHODS))
def test_methods_take_the_standards_arguments(name: str, wanted: str) -> None:
    check(getattr(xp.zeros(2), name), wanted)


def test_attributes_constants_and_dtypes_are_there() -> None:
    x = xp.zeros((2, 3))
    for name in table.ATTRIBUTES:
        assert hasattr(x, name)
    assert (xp.e, xp.pi, xp.inf, xp.newaxis) == (math.e, math.pi, math.inf, None)
    assert math.isnan(xp.nan)
    for name in table.DTYPES:
        assert xp.zeros(1, dtype=getattr(xp, name)).dtype == getattr(xp, name)
        assert xp.zeros(1, dtype=getattr(xp, name)).dtype == np.dtype(name)
    assert x.T.shape == (3, 2)
    assert x.mT.shape == (3, 2)
    assert x.device == x.to_device(x.device).device


# -- special values ---------------------------------------------------------------------------------------------------

FLOATS = ("float32", "float64")


def result(word: str, first: float) -> Any:
    if word in ("true", "false"):
        return word == "true"
    return {"x": first, "-x": -first}.get(word, first) if word in ("x", "-x") else table.values(word)[0]


def holds(found: Any, wanted: Any, dtype: str, word: str) -> bool:
    if isinstance(wanted, bool):
        return found.dtype == bool and bool(found) is wanted
    number = float(found)
    if math.isnan(wanted):
        return math.isnan(number)
    close = number == wanted or abs(number - wanted) <= 4 * np.finfo(dtype).eps * abs(wanted)
    return close and (word == "0" or math.copysign(1, number) == math.copysign(1, wanted))


@pytest.mark.parametrize(("name", "given", "wanted"), cases(table.UNARY_CASES, 2))
def test_special_values_of_one_operand(name: str, given: str, wanted: str) -> None:
    for dtype, x in itertools.product(FLOATS, table.values(given)):
        out = getattr(xp, name)(xp.asarray(x, dtype=dtype))  # compiled ones: tests/test_special_values.py
        assert holds(out, result(wanted, x), dtype, wanted), (x, out)


@pytest.mark.parametrize(("name", "a", "b", "wanted"), cases(table.BINARY_CASES, 3))
def test_special_values_of_two_operands(name: str, a: str, b: str, wanted: str) -> None:
    for dtype in FLOATS:
        pairs = list(itertools.product(table.values(a), table.values(b)))
        if name == "hypot":  # an infinity beside NaN is one
            pairs += [(x, math.nan) for x, _ in pairs if math.isinf(x)]
        x, y = (xp.asarray(np.asarray(v), dtype=dtype) for v in zip(*pairs, strict=True))
        out = getattr(xp, name)(x, y)
        for (first, _), each in zip(pairs, out, strict=True):
            wants = float(np.asarray(first, dtype)) if wanted in ("x", "-x") else first
            assert holds(each, result(wanted, wants), dtype, wanted), (name, first, each)


@pytest.mark.parametrize(("name", "given", "wanted"), cases(table.COMPLEX_CASES, 2))
def test_special_values_of_complex_numbers(name: str, given: str, wanted: str) -> None:
    for dtype in ("complex64", "complex128"):
        z = table.complex_operands(given, dtype)
        for each, out in zip(z, np.asarray(getattr(xp, name)(xp.asarray(z))), strict=True):
            assert table.complex_holds(out, each, wanted), (each, out)


# -- dtypes -----------------------------------------------------------------------------------------------------------

KINDS = xp.__array_namespace_info__()


def of_kind(*kinds: str) -> list[str]:
    return list(KINDS.dtypes(kind=kinds))


REAL = of_kind("integral", "real floating")
OPERANDS = {
    "numeric": REAL, "bool from numeric": REAL, "floating": of_kind("real floating", "complex floating"),
    "pairs, numeric": of_kind("numeric"), "pairs, real": REAL,
    "pairs, floating": of_kind("real floating", "complex floating"),
    "pairs, real floating": of_kind("real floating"), "pairs, bool": REAL, "pairs, integer": of_kind("integral"),
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(table.RESULTS))
def test_results_have_the_standards_dtypes_and_shapes(kind: str) -> None:
    for name in table.RESULTS[kind].split():
        for dtype in OPERANDS[kind]:
            x, y = xp.ones((2, 1), dtype=dtype), xp.ones((3,), dtype=dtype)
            out = getattr(xp, name)(x, y) if kind.startswith("pairs") else getattr(xp, name)(x)
            assert out.shape == ((2, 3) if kind.startswith("pairs") else (2, 1))
            assert out.dtype == ("bool" if "bool" in kind else dtype), (name, dtype)


def promotions() -> list[tuple[str, str, str]]:
    cells = [c.split() for line in table.PROMOTION.strip().splitlines() for c in line.split("|")]
    return [tuple(c) for c in cells]  # type: ignore[misc]  # three words each


@pytest.mark.parametrize(("a", "b", "wanted"), promotions())
def test_promotion(a: str, b: str, wanted: str) -> None:
    for first, second in ((a, b), (b, a)):
        x, y = xp.ones(2, dtype=first), xp.ones(2, dtype=second)
        assert xp.result_type(x, y) == wanted
        assert xp.result_type(first, second) == wanted
        operation = xp.logical_or if wanted == "bool" else xp.add
        assert operation(x, y).dtype == wanted
    assert xp.can_cast(a, wanted)


@pytest.mark.parametrize("dtype", of_kind("numeric"))
def test_python_numbers_take_the_arrays_dtype(dtype: str) -> None:
    x = xp.ones(3, dtype=dtype)
    assert (x + 1).dtype == (2 * x).dtype == x.dtype
    if dtype.startswith(("float", "complex")):
        assert (x * 2.5).dtype == (1.5 - x).dtype == x.dtype
    if dtype.startswith("complex"):
        assert (x * 1j).dtype == x.dtype


def test_sums_and_products_are_as_wide_as_the_default_dtypes() -> None:
    functions = [getattr(xp, n) for n in ("sum", "prod", "cumulative_sum", "cumulative_prod", "nansum")]
    for f in [*functions, lambda x, **kw: xp.linalg.trace(x[:, None], **kw)]:
        for dtype in of_kind("numeric"):
            x = xp.ones((3,), dtype=dtype)
            wide = {"int": "int64", "uint": "uint64"}.get(dtype.rstrip("0123456789"), dtype)
            assert f(x).dtype == wide
            explicit = "float64" if dtype[0] != "c" else "complex128"
            assert f(x, dtype=explicit).dtype == explicit
    with config.using(enable_x64=False):
        for dtype, wide in (
            ("uint8", "uint32"),
            ("int16", "int32"),
            ("uint32", "uint32"),
            ("int64", "int64"),
        ):
            assert xp.sum(xp.ones(3, dtype=dtype)).dtype == wide
            assert xp.cumulative_prod(xp.ones(3, dtype=dtype)).dtype == wide


def test_indices_have_the_default_integers_dtype() -> None:
    x = xp.asarray([2.0, 1.0])
    wanted = xp.__array_namespace_info__().default_dtypes()["indexing"]
    for out in (
        xp.argsort(x), xp.argsort(x, descending=True), xp.argmax(x), xp.argmin(x), xp.searchsorted(x[::-1], x),
        xp.searchsorted(x[:0], x), xp.nonzero(x)[0], xp.nonzero(x, size=3)[0], xp.nonzero(x[:0], size=1)[0],
        xp.count_nonzero(x), *xp.unique_all(x)[1:],
    ):  # fmt: skip
        assert out.dtype == wanted


# -- everything else --------------------------------------------------------------------------------------------------


def test_inspection() -> None:
    info = xp.__array_namespace_info__()
    assert info.capabilities() == {
        "boolean indexing": True,
        "data-dependent shapes": True,
        "max dimensions": 64,
    }
    assert info.default_device() in info.devices()
    assert info.default_dtypes() == {
        "real floating": np.dtype("float64"), "complex floating": np.dtype("complex128"), "integral": np.dtype("int64"),
        "indexing": np.dtype("int64"),
    }  # fmt: skip
    assert set(info.dtypes()) == set(table.DTYPES)
    assert set(info.dtypes(kind=("bool", "real floating"))) == {"bool", "float32", "float64"}
    with pytest.raises(ValueError, match="real floating"):
        info.dtypes(kind="float")
    x = xp.ones(2)
    assert x.__array_namespace__() is xp
    assert x.__array_namespace__(api_version="2024.12") is xp
    with pytest.raises(ValueError, match=r"2024\.12"):
        x.__array_namespace__(api_version="1999.1")
    assert xp.__array_api_version__ == "2024.12"


def test_kinds_of_dtypes() -> None:
    assert xp.isdtype(xp.float32, "real floating")
    assert xp.isdtype(xp.uint8, ("bool", "integral"))
    assert not xp.isdtype(xp.complex64, "real floating")
    assert xp.isdtype(xp.int16, xp.int16)
    assert (xp.finfo(xp.float32).bits, xp.iinfo(xp.int16).max) == (32, 32767)
    assert xp.finfo(xp.complex64).dtype == xp.float32
    assert all(getattr(xp, name) != None for name in table.DTYPES)  # noqa: E711
    for field in ("bits", "eps", "max", "min", "smallest_normal", "dtype"):
        assert hasattr(xp.finfo(xp.ones(1)), field)
    assert xp.iinfo(xp.ones(1, dtype=xp.uint8)).max == 255


def test_lists_of_large_integers_are_read_exactly() -> None:
    large = [1, 2**64 - 2047]
    x = xp.asarray(large, dtype="uint64")
    assert x.tolist() == large
    assert [int(xp.searchsorted(x, v)) for v in (x[1], 2**63, 0)] == [1, 1, 0]
    for numbers, dtype in (([2**63], "int64"), ([-1], "uint64"), ([1, 2**64], "uint64")):
        with pytest.raises(ValueError, match=f"does not fit {dtype}"):
            xp.asarray(numbers, dtype=dtype)


@pytest.mark.parametrize("dtype", [d for d in table.DTYPES if d != "bool"])
def test_dlpack_goes_both_ways(dtype: str) -> None:
    x = xp.asarray([1, 2, 3], dtype=dtype)
    assert x.__dlpack_device__() == (1, 0)
    there = np.from_dlpack(x)
    np.testing.assert_array_equal(there, np.asarray([1, 2, 3], dtype))
    back = xp.from_dlpack(np.asarray([4, 5], dtype))
    assert back.dtype == dtype
    assert back.tolist() == [4, 5]
    source = np.asarray([4, 5], dtype)
    copied = xp.from_dlpack(source, copy=True)
    source[0] = 9
    assert copied.tolist() == [4, 5]
    np.testing.assert_array_equal(
        np.from_dlpack(x.__array_namespace__().flip(x)), np.asarray([3, 2, 1], dtype)
    )


def test_unique_gives_named_tuples_and_tells_every_nan_apart() -> None:
    x = xp.asarray([3.0, math.nan, 1.0, math.nan, 3.0])
    out = xp.unique_all(x)
    assert out._fields == ("values", "indices", "inverse_indices", "counts")
    assert out.values.tolist()[:2] == [1.0, 3.0]
    assert out.values.shape == (4,)
    assert out.counts.tolist() == [1, 2, 1, 1]
    assert xp.unique_counts(x)._fields == ("values", "counts")
    assert xp.unique_inverse(x)._fields == ("values", "inverse_indices")
    assert xp.unique_inverse(x).inverse_indices.shape == x.shape
    assert xp.unique_values(x).shape == (4,)


def test_cumulative_functions_with_initial() -> None:
    x = xp.asarray([[1, 2], [3, 4]])
    assert xp.cumulative_sum(x, axis=0, include_initial=True).tolist() == [[0, 0], [1, 2], [4, 6]]
    assert xp.cumulative_prod(x, axis=1, include_initial=True).tolist() == [[1, 1, 2], [1, 3, 12]]
    with pytest.raises(ValueError, match="axis"):
        xp.cumulative_sum(x)
    assert xp.cumulative_sum(xp.ones(0)).shape == (0,)


def test_axes_that_are_not_there_are_both_of_the_standards_errors() -> None:
    x = xp.ones((2, 3))
    calls: list[Callable[[], Any]] = [
        lambda: xp.expand_dims(x, axis=3), lambda: xp.expand_dims(x, axis=-4), lambda: xp.sum(x, axis=2),
        lambda: xp.flip(x, axis=(0, 2)), lambda: xp.squeeze(x, axis=2),
    ]  # fmt: skip
    for call in calls:
        for kind in (IndexError, ValueError, AxisError):
            with pytest.raises(kind, match="there is no axis"):
                call()


def test_products_of_vectors_keep_their_dtype_and_stretch_no_axis() -> None:
    for dtype in of_kind("numeric"):
        x = xp.asarray([[1, 2], [3, 4]], dtype=dtype)
        for f in (xp.vecdot, xp.linalg.vecdot):
            assert f(x, x).dtype == dtype
            assert f(x, x).tolist() == [5, 25]
            assert f(x, x[0], axis=-1).tolist() == [5, 11]
    with pytest.raises(ValueError, match="vecdot"):
        xp.vecdot(xp.ones((2, 3)), xp.ones((2, 1)))


def test_norms_and_factors_of_complex_matrices() -> None:
    z = np.asarray([[3 + 4j, 1j], [2, 1 - 1j]])
    for order in ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf):
        found = xp.linalg.matrix_norm(xp.asarray(z), ord=order, keepdims=True)
        np.testing.assert_allclose(found, np.linalg.norm(z, order, (0, 1), keepdims=True), rtol=1e-12)
        assert found.dtype == "float64"
    for power in (0, 1, 2, -2.5, 3, math.inf, -math.inf):
        found = xp.linalg.vector_norm(xp.asarray(z), axis=1, ord=power)
        np.testing.assert_allclose(found, np.linalg.norm(z, power, 1), rtol=1e-12)
    np.testing.assert_allclose(xp.linalg.norm(xp.asarray(z, dtype="complex64")), np.linalg.norm(z), rtol=1e-6)
    upper = np.asarray(xp.linalg.cholesky(xp.asarray(z @ z.conj().T), upper=True))
    np.testing.assert_allclose(upper.conj().T @ upper, z @ z.conj().T, atol=1e-12)
    assert not np.signbit(upper[1, 0].imag)  # a plain 0, as triu has it


def test_copysign_takes_numbers_on_either_side() -> None:
    x = xp.asarray([-1.0, 2.0], dtype="float32")
    for out, wanted in (
        (xp.copysign(0.5, x), [-0.5, 0.5]),
        (xp.copysign(x, -0.0), [-1, -2]),
        (xp.copysign(1, x[:0]), []),
    ):
        assert out.dtype == "float32"
        assert out.tolist() == wanted


def test_diagonals_may_lie_anywhere() -> None:
    far = 2**40
    assert xp.eye(2, k=far).tolist() == xp.eye(2, k=-far).tolist() == [[0, 0], [0, 0]]
    assert (
        xp.tril(xp.ones((2, 2)), k=far).tolist()
        == xp.triu(xp.ones((2, 2)), k=-far).tolist()
        == [[1, 1], [1, 1]]
    )


def test_reductions_of_nothing() -> None:
    x = xp.ones((0, 3))
    assert xp.sum(x, axis=0).tolist() == [0, 0, 0]
    assert xp.prod(x).item() == 1
    assert bool(xp.all(x))
    assert not bool(xp.any(x))
    assert math.isnan(xp.mean(x))
    assert xp.var(xp.ones(1), correction=0).item() == 0
    with pytest.raises(ValueError, match="initial"):
        xp.max(x)


def test_sorting_is_stable_in_both_directions() -> None:
    x = xp.asarray([1.0, 2.0, 1.0, 2.0])
    assert xp.argsort(x).tolist() == [0, 2, 1, 3]
    assert xp.argsort(x, descending=True).tolist() == [1, 3, 0, 2]
    assert xp.sort(x, descending=True).tolist() == [2, 2, 1, 1]


def test_manipulation_follows_the_standard() -> None:
    x = xp.reshape(xp.arange(6), (2, 3))
    assert xp.concat([x, x], axis=None).shape == (12,)
    assert xp.roll(x, (1, 1), axis=(0, 1)).tolist() == [[5, 3, 4], [2, 0, 1]]
    assert xp.squeeze(x[None], axis=0).shape == (2, 3)
    with pytest.raises(ValueError, match="size"):
        xp.squeeze(x, axis=0)
    assert [p.tolist() for p in xp.unstack(x, axis=1)] == [[0, 3], [1, 4], [2, 5]]
    assert xp.repeat(x, xp.asarray([2, 1]), axis=0).shape == (3, 3)
    assert xp.tile(x, (2, 1, 1)).shape == (2, 2, 3)
    assert xp.moveaxis(xp.zeros((2, 3, 4)), 0, -1).shape == (3, 4, 2)
    assert [v.shape for v in xp.broadcast_arrays(x, xp.ones((4, 1, 1)))] == [(4, 2, 3)] * 2
    assert xp.take(x, xp.asarray([2, 0]), axis=1).tolist() == [[2, 0], [5, 3]]
    assert xp.diff(x, axis=0, prepend=xp.zeros((1, 3), dtype=x.dtype)).tolist() == [[0, 1, 2], [3, 3, 3]]
    assert xp.linspace(0, 1, num=3, endpoint=False).tolist() == pytest.approx([0, 1 / 3, 2 / 3])
    assert [g.shape for g in xp.meshgrid(xp.ones(2), xp.ones(3), indexing="ij")] == [(2, 3)] * 2
    assert xp.searchsorted(xp.asarray([1, 3, 5]), xp.asarray([3, 4]), side="right").tolist() == [2, 2]
    assert xp.vecdot(xp.asarray([1j, 2]), xp.asarray([1j, 2])).item() == 5
    assert xp.count_nonzero(x, axis=1).tolist() == [2, 3]
    assert xp.clip(xp.asarray([1.0, math.nan, 9.0]), max=5).tolist()[::2] == [1, 5]


def test_conversions_to_python() -> None:
    assert (int(xp.asarray(3)), float(xp.asarray(2.5)), complex(xp.asarray(1j)), bool(xp.asarray(0))) == (
        3,
        2.5,
        1j,
        False,
    )
    assert range(5)[xp.asarray(2)] == 2
    with pytest.raises(TypeError, match="index"):
        range(5)[xp.asarray(2.0)]
    assert float(xp.asarray(math.inf)) == math.inf
    assert math.isnan(float(xp.asarray(math.nan)))


@pytest.mark.parametrize("key", [
    2, -1, (0, 1), slice(None), slice(None, None, -1), (slice(1, None), 0), (Ellipsis, 0), (None, 0), (slice(0, 0),),
    (slice(None), None, slice(None, None, 2)),
])  # fmt: skip
def test_indexing_is_numpys(key: Any) -> None:
    value = np.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(np.asarray(xp.asarray(value)[key]), value[key])


def test_indexing_with_masks_and_integer_arrays() -> None:
    value = np.arange(12.0).reshape(3, 4)
    x = xp.asarray(value)
    np.testing.assert_array_equal(np.asarray(x[x > 5]), value[value > 5])
    np.testing.assert_array_equal(
        np.asarray(x[xp.asarray([2, 0]), xp.asarray([1, 3])]), value[[2, 0], [1, 3]]
    )
    np.testing.assert_array_equal(np.asarray(x[xp.asarray([True, False, True])]), value[[True, False, True]])
