"""Every public function of fnn.numpy has samples: what tests/test_numpy.py lacks, with NumPy as the oracle.

Each sample is checked eagerly and (where shapes do not depend on values) compiled, and its gradient against finite
differences where it has one.
"""

import io
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn.config import config
from tests.test_numpy import CASES

RNG = np.random.default_rng(3)
A = RNG.normal(size=(3, 4)).astype(np.float32)
V = RNG.normal(size=6).astype(np.float32)
W = RNG.uniform(0.5, 2.0, 6).astype(np.float32)
I = RNG.integers(-9, 9, (3, 4)).astype(np.int32)  # noqa: E741  # integers
U = RNG.integers(0, 5, 12).astype(np.int32)
BYTES = RNG.integers(0, 255, (2, 3)).astype(np.uint8)
POINTS = RNG.normal(size=(40, 2)).astype(np.float32)
EMPTY = np.zeros((0, 3), np.float32)
ZERO_DIMENSIONAL = np.float32(1.5)


class Sample(NamedTuple):
    name: str
    arguments: tuple[Any, ...] = ()
    options: dict[str, Any] = {}  # noqa: RUF012  # never changed
    oracle: Callable[..., Any] | None = None  # NumPy's function of the name, if None
    staged: bool = True  # the first argument may be traced
    gradient: bool = False  # by the first argument


def file_of(write: Callable[[Any], None]) -> io.BytesIO:
    file = io.BytesIO()
    write(file)
    file.seek(0)
    return file


def product(x: Any, y: Any) -> Any:
    return x * y + 1


def divided(u: Any, v: Any) -> Any:
    """The remainder is as long as u."""
    quotient, remainder = np.polydiv(u, v)
    return quotient, np.append(np.zeros(u.size - remainder.size, u.dtype), remainder)


def counted(x: Any, **options: Any) -> Any:
    """Counts are float32, as JAX's."""
    counts, edges = np.histogram(x, **options)
    return counts.astype(np.float32), edges


def counted_in_space(points: Any, bins: Any) -> Any:
    counts, edges = np.histogramdd(points, bins)
    return counts.astype(np.int32), [e.astype(np.float32) for e in edges]


def counted_in_the_plane(x: Any, y: Any, bins: Any) -> Any:
    counts, (first, second) = counted_in_space(np.stack([x, y], 1), bins)
    return counts, first, second


SAMPLES = [
    Sample("apply_along_axis", (lambda v: v * 2 - v[0], 0, A), staged=False),
    Sample("apply_over_axes", (fnp.sum, A, (0,)), oracle=lambda f, x, axes: np.sum(x, 0, keepdims=True), staged=False),
    Sample("argpartition", (V, 5), oracle=lambda v, k: np.argsort(v)),
    *[Sample(n, (x,)) for n in ("array", "asarray", "copy") for x in (A, I, EMPTY, ZERO_DIMENSIONAL)],
    Sample("astype", (A, np.int32), oracle=lambda x, d: x.astype(d)),
    Sample("array_repr", (I,), oracle=lambda x: repr(fnp.asarray(x)), staged=False),
    Sample("array_str", (A,), {"precision": 2}, staged=False),
    *[Sample(n, (m,), staged=False) for n in ("bartlett", "blackman", "hamming", "hanning") for m in (0, 1, 2, 7)],
    *[Sample("kaiser", (m, 4.5), staged=False) for m in (1, 2, 7)],
    Sample("i0", (3 * V,), gradient=True),
    Sample("i0", (EMPTY,)),
    Sample("can_cast", ("int8", "int32"), staged=False),
    Sample("promote_types", ("int8", "float32"), oracle=lambda a, b: np.dtype("float32"), staged=False),
    Sample("result_type", (np.int8, np.float16), oracle=lambda a, b: np.dtype("float16"), staged=False),
    Sample("issubdtype", (np.float32, np.floating), staged=False),
    Sample("isdtype", (np.dtype("float32"), "real floating"), staged=False),
    Sample("finfo", (np.float32,), oracle=lambda d: np.finfo(d), staged=False),
    Sample("iinfo", (np.int16,), oracle=lambda d: np.iinfo(d), staged=False),
    *[Sample(n, (x,)) for n in ("iscomplex", "imag") for x in (A, I, EMPTY, ZERO_DIMENSIONAL)],
    *[Sample(n, (x,), staged=False) for n in ("iscomplexobj", "isrealobj", "iterable") for x in (A, I)],
    Sample("isscalar", (3.5,), staged=False),
    Sample("cumulative_prod", (A,), {"axis": 1}, lambda x, axis: np.cumprod(x, axis), gradient=True),
    Sample("cumulative_prod", (V,), {"include_initial": True},
           lambda x, include_initial: np.cumprod([1, *x], dtype=x.dtype)),
    *[Sample(n, (np.zeros((3, 3), np.float32),)) for n in ("diag_indices_from", "tril_indices_from", "triu_indices_from")],
    Sample("empty_like", (I,), oracle=np.zeros_like),
    Sample("einsum_path", ("ij,jk,kl->il", A, A.T, A), oracle=lambda *_: [(0, 1), (0, 1)], staged=False),
    Sample("fill_diagonal", (np.zeros((5, 2), np.float32), 3.0), {"wrap": True},
           lambda x, v, wrap: (y := x.copy(), np.fill_diagonal(y, v, wrap))[0], gradient=True),
    *[Sample("frexp", (x,)) for x in (A, 1e-40 * A, EMPTY, ZERO_DIMENSIONAL)],
    *[Sample("ldexp", (A, n)) for n in (I, np.int32(-140), 20 * I)],
    Sample("ldexp", (A, I), gradient=True),
    *[Sample("spacing", (x,)) for x in (A, np.float32([0, 1, -1, 3e38]), EMPTY)],
    *[Sample(n, pair) for n in ("gcd", "lcm") for pair in ((I, I[:, ::-1].copy()), (I, np.int32(6)), (U, U[:, None]))],
    *[Sample("packbits", (BYTES > 99,), {"axis": k, "bitorder": o}) for k in (None, 0, 1) for o in ("big", "little")],
    *[Sample("unpackbits", (BYTES,), {"axis": k, "count": c}) for k in (None, 0, 1) for c in (None, 5, -3, 30)],
    Sample("from_dlpack", (V,), staged=False),
    Sample("frombuffer", (b"\1\2\3\4", np.uint8), staged=False),
    Sample("fromfile", (), oracle=None, staged=False),
    Sample("fromiter", (range(4), np.int32), staged=False),
    Sample("fromstring", ("1 2.5 3",), {"sep": " "}, staged=False),
    Sample("frompyfunc", (product, 2, 1), oracle=lambda f, *_: f, staged=False),
    *[Sample(n, (), staged=False) for n in ("get_printoptions", "printoptions", "set_printoptions", "load", "save", "savez")],
    *[Sample("histogram", (A,), o, counted)
      for o in ({}, {"bins": 4, "density": True}, {"bins": 5, "range": (-1, 2)})],
    *[Sample("histogram2d", (POINTS[:, 0], POINTS[:, 1]), {"bins": b}, counted_in_the_plane) for b in (4, [3, 5])],
    Sample("histogramdd", (POINTS,), {"bins": 3}, counted_in_space),
    Sample("ix_", ([0, 2], [True, False, True]), staged=False),
    Sample("mask_indices", (4, fnp.triu, 1), oracle=lambda n, f, k: np.mask_indices(n, np.triu, k), staged=False),
    *[Sample("matrix_power", (A[:, :3], n), oracle=np.linalg.matrix_power, gradient=True) for n in (0, 3)],
    Sample("piecewise", (V, [V < 0, V >= 0], [lambda x: -x, lambda x: x * 2])),
    Sample("place", (A, A > 0, np.float32([1, 2])), oracle=lambda x, m, v: (y := x.copy(), np.place(y, m, v))[0]),
    Sample("poly", (V,), gradient=True),
    Sample("poly", (A[:, :3],), oracle=lambda x: np.poly(x).astype(np.complex64), staged=False),
    Sample("polydiv", (V, W[:3]), oracle=lambda u, v: divided(u, v)),
    Sample("polyfit", (V, W, 2)),
    Sample("polyfit", (V, np.stack([W, V], 1), 3), {"w": W}),
    *[Sample("polyint", (V, m), gradient=True) for m in (0, 1, 3)],
    Sample("polysub", (V, W[:2]), gradient=True),
    Sample("put", (A, [0, 5], np.float32([7, 8])), oracle=lambda x, i, v: (y := x.copy(), np.put(y, i, v))[0], gradient=True),
    Sample("put_along_axis", (A, np.abs(I[:, :1]) % 4, np.float32(9), 1), gradient=True,
           oracle=lambda x, i, v, k: (y := x.copy(), np.put_along_axis(y, i, v, k))[0]),
    *[Sample("resize", (A, s), gradient=True) for s in ((5, 4), (2, 2), 7)],
    Sample("roots", (W,), oracle=lambda p: np.sort_complex(np.roots(p).astype(np.complex64)), staged=False),
    Sample("setxor1d", (U, np.arange(3, 8, dtype=np.int32)), staged=False),
    *[Sample("sort_complex", (x,), oracle=lambda x: np.sort_complex(x).astype(np.complex64), staged=False)
      for x in (V, V + 1j * V[::-1], I)],
    *[Sample("trim_zeros", (np.int32([0, 0, 1, 0, 2, 0]), t), staged=False) for t in ("fb", "f", "b")],
    *[Sample(n, (U,), staged=False) for n in ("unique_all", "unique_counts", "unique_inverse")],
    Sample("unique_values", (U,), oracle=np.unique, staged=False),
    Sample("vectorize", (), staged=False),
]  # fmt: skip
# What is tested where it can be seen whole: files, printing and functions of functions.
BY_HAND = {
    "fromfile", "load", "save", "savez", "get_printoptions", "printoptions", "set_printoptions", "frompyfunc", "vectorize",
    "finfo", "iinfo", "einsum_path",
}  # fmt: skip


def same(found: Any, wanted: Any) -> None:
    if isinstance(wanted, (tuple, list)):
        assert len(found) == len(wanted)
        for f, w in zip(found, wanted, strict=True):
            same(f, w)
        return
    if not isinstance(found, fnn.Array):
        assert found == wanted
        return
    wanted = np.asarray(wanted)
    narrow = {"float64": "float32", "int64": "int32", "uint64": "uint32", "complex128": "complex64"}
    assert found.dtype.name == narrow.get(wanted.dtype.name, wanted.dtype.name)
    assert found.shape == wanted.shape
    if wanted.size:
        scale = max(1.0, float(np.max(np.abs(np.nan_to_num(wanted, posinf=1, neginf=1)))))
        np.testing.assert_allclose(np.asarray(found), wanted, rtol=2e-5, atol=4e-6 * min(scale, 1e6))


IDS = [f"{k}-{s.name}" for k, s in enumerate(SAMPLES)]
SEEN = [k for k, s in enumerate(SAMPLES) if s.name not in BY_HAND]


@pytest.mark.parametrize("number", SEEN, ids=[IDS[k] for k in SEEN])
@pytest.mark.filterwarnings("ignore")
def test_as_numpy(number: int) -> None:
    s = SAMPLES[number]
    wanted = (s.oracle or getattr(np, s.name))(*s.arguments, **s.options)
    call = lambda *args: getattr(fnp, s.name)(*args, **s.options)
    ordered = fnp.sort_complex if s.name == "roots" else lambda x: x
    same(ordered(call(*s.arguments)), wanted)
    if s.staged:
        same(fnn.jit(lambda x: call(x, *s.arguments[1:]))(s.arguments[0]), wanted)


@pytest.mark.parametrize("number", [k for k, s in enumerate(SAMPLES) if s.gradient])
def test_gradients_are_finite_differences(number: int) -> None:
    s = SAMPLES[number]
    with config.using(enable_x64=True):
        x = np.asarray(s.arguments[0], np.float64)
        f = lambda v: getattr(fnp, s.name)(v, *s.arguments[1:], **s.options)
        weights = np.cos(np.arange(f(x).size)).reshape(f(x).shape)
        loss = lambda v: fnp.sum(f(v) * weights)
        direction = np.sin(np.arange(1, x.size + 1)).reshape(x.shape)
        slope = (float(loss(x + 1e-6 * direction)) - float(loss(x - 1e-6 * direction))) / 2e-6
        assert float(np.sum(np.asarray(fnn.grad(loss)(x)) * direction)) == pytest.approx(
            slope, rel=1e-5, abs=1e-7
        )


def test_files(tmp_path: Any) -> None:
    fnp.save(tmp_path / "a.npy", fnp.asarray(A))
    same(fnp.load(tmp_path / "a.npy"), A)
    fnp.savez(tmp_path / "b.npz", A, second=fnp.asarray(I))
    both = fnp.load(tmp_path / "b.npz")
    np.testing.assert_array_equal(both["arr_0"], A)
    np.testing.assert_array_equal(both["second"], I)
    V.tofile(tmp_path / "c.bin")
    same(fnp.fromfile(tmp_path / "c.bin", np.float32), V)


def test_printing() -> None:
    with fnp.printoptions(precision=2):
        assert fnp.get_printoptions()["precision"] == 2
        assert str(fnp.asarray([1.23456])) == "[1.23]"
    before = fnp.get_printoptions()["precision"]
    fnp.set_printoptions(precision=before)


def test_functions_of_functions() -> None:
    f = fnp.frompyfunc(product, 2, 1, identity=0)
    assert isinstance(f, fnp.ufunc)
    same(f(A, A[0]), A * A[0] + 1)
    same(f.outer(V, W), np.outer(V, W) + 1)
    distance = fnp.vectorize(lambda x, y: fnp.sum((x - y) ** 2), signature="(n),(n)->()")
    same(distance(A, A[0]), ((A - A[0]) ** 2).sum(-1))


def test_limits_and_paths() -> None:
    assert fnp.finfo(np.float32).eps == np.finfo(np.float32).eps
    assert fnp.iinfo(np.int16).max == 32767
    path, described = fnp.einsum_path("ij,jk,kl->il", A, A.T, A)
    assert sorted(map(len, path)) == [2, 2]
    assert "contraction" in str(described).lower()


FOLDS = ["add", "multiply", "subtract", "maximum", "minimum", "logaddexp", "logaddexp2", "bitwise_and", "bitwise_or",
         "bitwise_xor", "logical_and", "logical_or", "logical_xor"]  # fmt: skip


@pytest.mark.parametrize("name", FOLDS)
def test_folding_is_numpys(name: str) -> None:
    ours, theirs = getattr(fnp, name), getattr(np, name)
    x = I if name.startswith("bitwise") else A
    for axis in (0, 1):
        same(ours.reduce(x, axis=axis), theirs.reduce(x, axis=axis))
        same(ours.reduce(x, axis=axis, keepdims=True), theirs.reduce(x, axis=axis, keepdims=True))
        same(ours.accumulate(x, axis=axis), theirs.accumulate(x, axis=axis))
    same(ours.outer(x, x[0]), theirs.outer(x, x[0]))
    same(ours.reduceat(x, [0, 2, 1]), theirs.reduceat(x, [0, 2, 1]))
    changed = x.copy()
    theirs.at(changed, ([0, 0, 1], [1, 1, 2]), x[0, 0])
    same(ours.at(x, ([0, 0, 1], [1, 1, 2]), x[0, 0], inplace=False), changed)
    assert (ours.nin, ours.nout) == (theirs.nin, theirs.nout)


@pytest.mark.parametrize("name", ["union1d", "intersect1d", "setxor1d", "setdiff1d"])
def test_sets_of_a_given_size(name: str) -> None:
    other = np.arange(3, 8, dtype=np.int32)
    wanted = getattr(np, name)(U, other)
    out = fnn.jit(lambda x: getattr(fnp, name)(x, other, size=9, fill_value=-1))(U)
    assert out.tolist() == [*wanted.tolist(), *[-1] * (9 - wanted.size)]


def test_index_objects() -> None:
    same(fnp.r_[0:3, 7, np.ones(2, np.float32)], np.r_[0:3, 7, np.ones(2, np.float32)].astype(np.float32))
    same(fnp.r_[0:1:5j], np.r_[0:1:5j])
    same(fnp.c_[V, W], np.c_[V, W])
    same(fnp.r_["0,2,0", V, W], np.r_["0,2,0", V, W])
    assert fnp.s_[1:3, ...] == (slice(1, 3), Ellipsis)
    assert fnp.index_exp[2] == (2,)


def test_every_public_function_has_a_sample() -> None:
    tested = {case[0] for case in CASES} | {s.name for s in SAMPLES} | set(FOLDS)
    reached = {id(getattr(fnp, name)) for name in tested if hasattr(fnp, name)}
    public = [n for n in fnp.__all__ if callable(getattr(fnp, n)) and not isinstance(getattr(fnp, n), type)]
    assert not [n for n in public if n not in tested and id(getattr(fnp, n)) not in reached]
