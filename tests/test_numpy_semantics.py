"""fnn.numpy beyond NumPy: dtypes, errors, derivatives, transformations, and shapes that depend on values."""

import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn.core.array import ConcreteArray
from fnn.core.trace import closed_stage
from fnn.errors import ArgumentError, ConcretizationError, DtypeError, ShapeError, UnsupportedError

RNG = np.random.default_rng(0)
A = RNG.normal(size=(3, 4)).astype(np.float32)
B = RNG.normal(size=(3, 4)).astype(np.float32)
V = RNG.normal(size=7).astype(np.float32)
I = RNG.integers(-9, 9, (3, 4)).astype(np.int32)  # noqa: E741  # integers
M = I > 0
T = RNG.normal(size=(2, 3, 4)).astype(np.float32)
EMPTY = np.zeros((0, 3), np.float32)


def same(ours: Any, theirs: Any, tolerance: float = 2e-6) -> None:
    """Equal shapes and (to rounding) numbers."""
    if isinstance(theirs, (tuple, list)):
        assert len(ours) == len(theirs)
        for o, t in zip(ours, theirs, strict=True):
            same(o, t, tolerance)
        return
    assert isinstance(ours, fnn.Array) and ours.shape == np.shape(theirs)
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=tolerance, atol=tolerance)


# -- dtypes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "x, y, dtype, weak",
    [
        (A, 2, "float32", False), (I, 2, "int32", False), (A, I, "float32", False), (I, M, "int32", False),
        (A.astype(np.float16), A, "float32", False), (A.astype(np.float16), 2.5, "float16", False),
        (I.astype(np.int8), 100, "int8", False), (I.astype(np.int8), I.astype(np.uint8), "int16", False),
        (1, 2, "int32", True),
        (1, 2.0, "float32", True), (M, 1, "int32", True), (M, 1.0, "float32", True),
    ],
)  # fmt: skip
def test_addition_promotes(x: Any, y: Any, dtype: str, weak: bool) -> None:
    for a, b in ((x, y), (y, x)):
        out = fnp.add(a, b)
        assert out.dtype == dtype
        assert weak or not out.weak_type
        np.testing.assert_allclose(np.asarray(out), np.add(a, b, dtype=out.dtype), rtol=1e-3)


def test_explicit_dtypes_are_honoured() -> None:
    assert fnp.array(1.5, dtype="float64").dtype == np.float64
    assert fnp.zeros(2, fnp.float64).dtype == np.float64
    assert fnp.arange(3, dtype=fnp.int64).dtype == np.int64
    assert fnp.asarray(np.zeros(2)).dtype == np.float32
    assert fnp.ones(2).astype(fnp.bfloat16).dtype == fnp.bfloat16
    assert fnp.sum(fnp.ones(3, fnp.bfloat16)).dtype == fnp.bfloat16
    assert (fnp.ones(2, "float64") + 1).dtype == np.float64
    assert fnp.float64(1.5).dtype == np.float64
    assert (
        fnp.zeros(1).dtype == fnp.float32 and fnp.float32 == np.dtype("float32") and fnp.float32 != fnp.int32
    )
    assert fnp.issubdtype(fnp.bfloat16, fnp.floating) and not fnp.issubdtype(fnp.int8, fnp.floating)
    assert isinstance(fnp.float32(1), fnp.float32) and hash(fnp.float32) == hash(np.dtype("float32"))
    assert fnp.zeros(2, fnp.complex64).dtype == fnp.complex64 and fnp.complex64 == np.dtype("complex64")


def test_array_takes_nested_lists_with_traced_numbers() -> None:
    same(fnp.array([[1, 2], [3, 4]]), np.array([[1, 2], [3, 4]]))
    same(fnp.array([1, 2.5]), np.array([1, 2.5]))
    same(fnp.array([fnp.float32(1.0), 2, np.float32(3)]), np.array([1.0, 2, 3]))
    assert fnp.array([]).dtype == np.float32 and fnp.array([True]).dtype == np.bool_
    assert fnp.array([np.int8(1), np.int8(2)]).dtype == np.int8
    same(fnn.grad(lambda x: fnp.array([[x, 2.0], [x * x, 1.0]]).sum())(3.0), np.float32(7.0))
    same(fnn.vmap(lambda x: fnp.array([x, x + 1, 0]))(A[0]), np.stack([A[0], A[0] + 1, 0 * A[0]], 1))
    with pytest.raises(ArgumentError, match=r"different lengths.*test_numpy_semantics\.py"):
        fnp.array([[1, 2], [3]])
    with pytest.raises(ArgumentError, match="text"):
        fnp.array("text")


def test_functions_refuse_lists_and_name_the_line() -> None:
    with pytest.raises(
        ArgumentError, match=r"sin: \[1\.0\] \(list\).*test_numpy_semantics\.py.*fnn\.numpy\.array"
    ):
        fnp.sin([1.0])
    with pytest.raises(ArgumentError, match="None is no number"):
        fnp.add(None, 1)
    with pytest.raises(ArgumentError, match="no axis 2 in an array with 2 axes"):
        fnp.sum(A, axis=2)
    with pytest.raises(ShapeError, match=r"reshape.*12 elements.*\(5, 2\)"):
        fnp.reshape(A, (5, 2))
    with pytest.raises(
        ShapeError, match=r"matmul: the shapes \(3, 4\) and \(3, 4\).*test_numpy_semantics\.py"
    ):
        fnp.matmul(A, B)
    with pytest.raises(ShapeError, match=r"einsum.*'j'.*sizes 4 and 3"):
        fnp.einsum("ij,jk->ik", A, B)
    with pytest.raises(ShapeError, match="no elements"):
        fnp.max(EMPTY)
    with pytest.raises(DtypeError, match="have no power -1"):
        fnp.power(I, -1)
    with pytest.raises(UnsupportedError, match="immutable"):
        fnp.sum(A, out=A)  # type: ignore[arg-type]  # what is refused
    with pytest.raises(ConcretizationError, match="length"):
        fnn.make_ir(lambda n: fnp.arange(n))(3)


# -- derivatives and transformations --------------------------------------------------------------------------------


def test_logaddexp_is_stable_and_its_derivative_right() -> None:
    same(
        fnp.logaddexp(fnp.array([1000.0, -np.inf, np.inf]), fnp.array([1000.0, -np.inf, 0.0])),
        np.array([1000 + math.log(2), -np.inf, np.inf], np.float32),
    )
    for x, y in ((0.3, -1.2), (100.0, 0.0), (2.0, 2.0)):
        g = fnn.grad(fnp.logaddexp, (0, 1))(x, y)
        share = 1 / (1 + math.exp(y - x))
        np.testing.assert_allclose([float(g[0]), float(g[1])], [share, 1 - share], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: fnp.einsum("ij,kj->ik", x, B), lambda x: x.T @ x, lambda x: fnp.pad(x, 1, mode="reflect"),
        fnp.sort, fnp.cumsum,
        lambda x: fnp.var(x, axis=1, ddof=1), lambda x: fnp.concatenate([x, x * 2], 1),
        lambda x: fnp.roll(x, 1, 0),
        lambda x: fnp.where(x > 0, x, x**2), lambda x: fnp.take_along_axis(x, fnp.abs(I) % 4, 1),
        lambda x: fnp.diag(x[0], 1),
        lambda x: fnp.median(x, axis=1), lambda x: fnp.split(x, 2, axis=1)[1],
        lambda x: fnp.linalg.norm(x, axis=1), fnp.diff,
        lambda x: fnp.repeat(x, 2, axis=0), lambda x: fnp.tile(x, (2, 1)), lambda x: fnp.mod(x, 0.7),
        lambda x: fnp.prod(x, axis=0),
        lambda x: fnp.interp(x, fnp.linspace(-3, 3, 5), fnp.arange(5.0) ** 2),
        lambda x: fnp.stack([x, x]).mean(0), fnp.sinc,
    ],
)  # fmt: skip
def test_derivatives_agree_with_differences(f: Callable[..., Any]) -> None:
    x = fnp.asarray(A)
    t = fnp.asarray(B)
    out, tangent = fnn.jvp(f, (x,), (t,))
    h = 1e-2
    centred = (np.asarray(f(x + h * t), np.float64) - np.asarray(f(x - h * t), np.float64)) / (2 * h)
    np.testing.assert_allclose(np.asarray(tangent), centred, rtol=2e-2, atol=2e-2)
    ct = fnp.asarray(RNG.normal(size=out.shape).astype(np.float32))
    _, pull = fnn.vjp(f, x)
    (back,) = pull(ct)
    np.testing.assert_allclose(float(fnp.vdot(ct, tangent)), float(fnp.vdot(back, t)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "name, args",
    [("sort", ()), ("cumsum", ()), ("mean", ()), ("argmax", ()), ("median", ()), ("linalg.norm", ())],
)
def test_vmap_is_a_loop(name: str, args: tuple[Any, ...]) -> None:
    f = fnp.linalg.norm if name == "linalg.norm" else getattr(fnp, name)
    same(fnn.vmap(f)(T), np.stack([np.asarray(f(t)) for t in T]), 1e-5)


def test_vectorize_follows_its_signature() -> None:
    dot = fnp.vectorize(fnp.dot, signature="(n),(n)->()")
    same(dot(T, A[0]), np.vectorize(np.dot, signature="(n),(n)->()")(T, A[0]).astype(np.float32), 1e-5)
    same(fnp.vectorize(lambda x, y: x * y + 1)(A, V[:4]), A * V[:4] + 1)
    same(
        fnp.apply_along_axis(lambda v: v / v.sum(), 1, T),
        np.apply_along_axis(lambda v: v / v.sum(), 1, T),
        1e-4,
    )
    same(fnp.apply_along_axis(fnp.cumsum, 0, A), np.cumsum(A, 0), 1e-5)
    same(
        fnp.apply_along_axis(lambda v: fnp.outer(v, v), 1, T),
        np.apply_along_axis(lambda v: np.outer(v, v), 1, T),
        1e-5,
    )


def test_sizes_make_value_dependent_shapes_static() -> None:
    x = np.array([3, 0, 1, 3, 0], np.int32)
    graph = closed_stage(lambda t: list(fnp.nonzero(t, size=4, fill_value=9)), [fnp.asarray(x).aval])
    assert graph.outputs[0].aval.shape == (4,)
    same(fnp.nonzero(x, size=4, fill_value=9)[0], np.array([0, 2, 3, 9]))
    same(fnp.nonzero(x, size=2)[0], np.array([0, 2]))
    same(fnp.unique(x, size=4, fill_value=-1), np.array([0, 1, 3, -1]))
    values, index, inverse, counts = fnp.unique(
        x, return_index=True, return_inverse=True, return_counts=True, size=3
    )
    same([values, index, inverse, counts], list(np.unique(x, True, True, True)))
    same(
        fnp.repeat(fnp.asarray(x), fnp.array([1, 2, 0, 1, 1]), total_repeat_length=5),
        np.repeat(x, [1, 2, 0, 1, 1]),
    )
    same(fnp.bincount(x, length=3), np.array([2, 1, 0]))


def test_histogram_counts() -> None:
    counts, edges = fnp.histogram(V, 5)
    expected, limits = np.histogram(V, 5)
    same(counts, expected.astype(np.float32))
    same(edges, limits.astype(np.float32), 1e-5)


def test_roots_in_compiled_programs() -> None:
    for p in ([0.0, 0.0, 1.0, -3.0, 2.0], [1.0, -3.0, 2.0, 0.0, 0.0], [0.0, 0.0, 0.0]):
        found = np.asarray(fnn.jit(lambda v: fnp.roots(v, strip_zeros=False))(np.float32(p)))
        lead = next((k for k, v in enumerate(p) if v), len(p) - 1)
        assert np.isnan(found[len(found) - lead :]).all()
        wanted = [*np.roots(p), *[0] * (len(found) - lead - len(np.roots(p)))]
        np.testing.assert_allclose(np.sort(found[: len(found) - lead]), np.sort(wanted), atol=1e-5)
    with pytest.raises(ConcretizationError, match="roots"):
        fnn.jit(fnp.roots)(V)


def test_quantiles_are_numpys() -> None:
    methods = ["linear", "lower", "higher", "midpoint", "inverted_cdf", "averaged_inverted_cdf", "hazen", "weibull",
               "interpolated_inverted_cdf", "median_unbiased", "normal_unbiased", "closest_observation"]  # fmt: skip
    shares = np.array([0.0, 0.21, 0.5, 0.93, 1.0])
    for method in methods:
        for axis in (None, 0, (0, 1)):
            wanted = np.quantile(A, shares, axis=axis, method=method, keepdims=True)
            same(fnp.quantile(A, shares, axis=axis, method=method, keepdims=True), wanted, 1e-5)
    weights = RNG.uniform(0.5, 2.0, (3, 4)).astype(np.float32)
    for axis in (None, 0, 1):
        wanted = np.quantile(A, shares, axis=axis, method="inverted_cdf", weights=weights)
        same(fnp.quantile(A, shares, axis=axis, method="inverted_cdf", weights=weights), wanted)
    assert np.isnan(fnp.quantile(N := np.where(M, np.nan, A), 0.5)) and not np.isnan(fnp.nanquantile(N, 0.5))
    with pytest.raises(UnsupportedError, match="knows no weights"):
        fnp.percentile(A, 50, weights=weights)
    with pytest.raises(ArgumentError, match="is not one of"):
        fnp.quantile(A, 0.5, method="middle")


def test_padding_is_numpys() -> None:
    for mode, options in [
        ("reflect", {"reflect_type": "odd"}), ("symmetric", {"reflect_type": "odd"}), ("median", {"stat_length": 2}),
        ("mean", {"stat_length": ((1, 2), (3, 3))}), ("linear_ramp", {"end_values": 2}),
    ]:  # fmt: skip
        for x in (A,) if mode == "linear_ramp" else (A, I):  # JAX rounds a ramp of integers down
            for widths in (2, ((1, 7), (0, 3))):
                same(fnp.pad(x, widths, mode, **options), np.pad(x, widths, mode, **options), 1e-5)
    marked = fnp.pad(V, 2, lambda line, width, axis, options: line.at[: width[0]].set(9))
    same(marked, np.concatenate([[9, 9], V, [0, 0]]))
    with pytest.raises(ArgumentError, match="modes and their options"):
        fnp.pad(V, 1, "edge", constant_values=1)


def test_correlations_conjugate_and_singular_matrices_have_no_condition() -> None:
    c = (V + 1j * V[::-1]).astype(np.complex64)
    for mode in ("full", "same", "valid"):
        same(fnp.correlate(c, c[:3], mode), np.correlate(c, c[:3], mode), 1e-5)
    singular = np.ones((2, 3, 3), np.float32) * np.array([1, np.nan], np.float32)[:, None, None]
    for order in ("fro", 1, np.inf):
        found = np.asarray(fnp.linalg.cond(singular, order))
        assert np.isinf(found[0]) and np.isnan(found[1])


def test_folding_of_integers_has_the_dtype_of_the_function() -> None:
    x = np.array([[1, 2], [3, 4]], np.int8)
    same(fnp.logaddexp.reduce(x), np.logaddexp.reduce(x.astype(np.float32)), 1e-5)
    same(fnp.logaddexp.accumulate(x, axis=1), np.logaddexp.accumulate(x.astype(np.float32), axis=1), 1e-5)
    assert fnp.logical_and.reduce(x, axis=1, initial=0).tolist() == [False, False]
    assert fnp.logaddexp.reduce(x[:0]).tolist() == [-np.inf, -np.inf]
    assert fnp.logaddexp.accumulate(x[:0]).dtype == np.float32


def test_places_out_of_range_are_refused() -> None:
    for call in (lambda: fnp.delete(V, 9), lambda: fnp.insert(V, 9, 1.0)):
        with pytest.raises(IndexError, match=r"at .*test_numpy_semantics"):
            call()
    for call in (
        lambda: fnp.eye(-1), lambda: fnp.repeat(V, -1), lambda: fnp.block([]), lambda: fnp.nonzero(V[0]),
        lambda: fnp.unique(A, axis=2), lambda: fnp.tril_indices_from(V), lambda: fnp.transpose(A, 1),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"at .*test_numpy_semantics"):
            call()
    gone = fnn.jit(lambda k: fnp.delete(V, k, assume_unique_indices=True))(np.array([5, 0, 2]))
    same(gone, np.delete(V, [5, 0, 2]))
    same(fnp.delete(V, []), V)
    for f in (fnp.partition, fnp.argpartition):
        with pytest.raises(ArgumentError, match="no place 9"):
            f(V, 9)
    with pytest.raises(ArgumentError, match="outside of 0 to 1"):
        fnp.choose(np.array([0, 2]), [A[0, :2], A[1, :2]])
    same(fnp.choose(np.array([0, 3]), [A[0, :2], A[1, :2]], mode="wrap"), np.array([A[0, 0], A[1, 1]]))


def test_sort_descends() -> None:
    same(fnp.sort(A, descending=True), np.sort(A)[:, ::-1])
    same(fnp.argsort(fnp.array([1, 2, 1, 2]), descending=True), np.array([1, 3, 0, 2]))


def test_norms_and_cholesky() -> None:
    for order in (None, "fro", 1, -1, np.inf, -np.inf):
        same(fnp.linalg.norm(A, order), np.linalg.norm(A, order), 1e-5)
    for order in (None, 0, 1, 2, 3, np.inf, -np.inf):
        same(
            fnp.linalg.norm(T, order, axis=1, keepdims=True),
            np.linalg.norm(T, order, axis=1, keepdims=True),
            1e-5,
        )
    s = A @ A.T + np.eye(3, dtype=np.float32)
    same(fnp.linalg.cholesky(s), np.linalg.cholesky(s), 1e-5)
    same(fnp.linalg.multi_dot([A, B.T, A]), np.linalg.multi_dot([A, B.T, A]), 1e-4)
    same(fnp.linalg.matrix_power(s, 3), np.linalg.matrix_power(s, 3), 1e-4)


def test_files_round_trip(tmp_path: Any) -> None:
    fnp.save(tmp_path / "x.npy", fnp.asarray(A))
    same(fnp.load(tmp_path / "x.npy"), A)
    fnp.savez(tmp_path / "x.npz", a=fnp.asarray(A))
    np.testing.assert_array_equal(fnp.load(tmp_path / "x.npz")["a"], A)


def test_eager_results_are_arrays() -> None:
    assert type(fnp.sin(A)) is ConcreteArray and type(fnp.zeros(3)) is ConcreteArray


def test_roll_takes_a_traced_shift() -> None:
    for shift in (-5, 0, 2):
        same(fnn.vmap(lambda s: fnp.roll(A, s, 1))(np.array([shift, shift]))[0], np.roll(A, shift, 1))
        same(fnn.vmap(lambda s: fnp.roll(A, s))(np.array([shift, shift]))[1], np.roll(A, shift))


@pytest.mark.parametrize("name", ["sin", "add", "max", "cumsum", "nansum", "union1d", "concatenate", "where"])
def test_functions_pickle_by_name(name: str) -> None:
    f = getattr(fnp, name)
    assert pickle.loads(pickle.dumps(f)) is f
    assert f.__doc__


@pytest.mark.parametrize(
    "call", [lambda a, b: a / b, lambda a, b: fnp.sqrt(a) * b, lambda a, b: fnp.mean(a) / b]
)
def test_weak_integers_become_floats_where_the_function_asks(call) -> None:
    """Python numbers are weakly typed inside jit; division of them is still division."""
    assert float(fnn.jit(call)(3, 2)) == pytest.approx(float(call(3, 2)))
    assert fnn.jit(call)(3, 2).dtype == np.float32


def test_no_dtype_is_a_float64_to_issubdtype() -> None:
    assert fnp.issubdtype(None, np.floating) and not fnp.issubdtype(None, np.integer)
