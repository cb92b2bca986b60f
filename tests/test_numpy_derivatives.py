"""fnn.numpy's derivatives by name: forward and reverse mode against central differences, in 64 bits, on the others' samples.

Functions of matrices and transforms over dtypes and batches; the methods of arrays; and that no public name is left out.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from tests import test_numpy_families as families
from tests.test_numpy_families import (
    COMPLEX,
    FLOATS,
    INTEGERS,
    SAMPLES,
    check,
    each,
    floating,
    in_64_bits,
    numbers,
    ours,
    real_of,
    wide,
    widened,
)
from tests.test_numpy_names import BY_HAND, FOLDS

__all__ = ["in_64_bits"]  # runs around every test here
pytestmark = pytest.mark.filterwarnings("ignore")
STEP = 1e-6

# Why a name has no derivative to be checked by its samples.
UNCHECKED: dict[str, str] = {
    "from_dlpack": "takes arrays of other libraries",
    **dict.fromkeys(["nextafter", "spacing"], "jump with the exponents"),
}


def _first_floats(args: Any) -> tuple[Any, Callable[[Any], Any]] | None:
    """The first array of floats among the arguments (or in a list there), and the arguments with another in its place."""
    for k, a in enumerate(args):
        if isinstance(a, np.ndarray | np.generic) and a.dtype == np.float64 and a.size:
            return np.asarray(a), lambda v, k=k: [*args[:k], v, *args[k + 1 :]]
        if isinstance(a, list) and a:
            inner = _first_floats(a)
            if inner is not None:
                return inner[0], lambda v, k=k, put=inner[1]: [*args[:k], put(v), *args[k + 1 :]]
    return None


def _floats(out: Any) -> list[Any]:
    return [o for o in fnn.tree.leaves(out) if isinstance(o, fnn.Array) and o.dtype.kind in "fc"]


def slopes_agree(f: Callable[[Any], Any], x: np.ndarray, what: str) -> int:
    """Forward, reverse and differences along a direction; how many outputs there were."""
    weighted = lambda v: [
        fnp.sum(fnp.real(o) * np.cos(np.arange(o.size)).reshape(o.shape)) for o in _floats(f(v))
    ]
    direction = np.sin(1.0 + np.arange(x.size)).reshape(x.shape)
    outs, tangents = fnn.jvp(weighted, (ours(x),), (ours(direction),))
    if not outs:
        return 0
    _, pull = fnn.vjp(lambda v: sum(weighted(v)), ours(x))
    (back,) = pull(fnp.ones((), np.float64))
    high, low = (sum(float(o) for o in weighted(ours(x + s * STEP * direction))) for s in (1, -1))
    slope = (high - low) / (2 * STEP)
    if np.isnan(slope):  # of nothing
        return 0
    for found in (sum(float(t) for t in tangents), float(np.sum(np.asarray(back) * direction))):
        assert found == pytest.approx(slope, rel=2e-5, abs=2e-5), what
    return len(outs)


NAMES = sorted({s[0] for s in SAMPLES} - set(UNCHECKED))


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_of_the_samples(name: str) -> None:
    for k, (other, args, options, _) in enumerate(SAMPLES):
        if other != name:
            continue
        options = {n: widened(v) for n, v in options.items()}
        found = _first_floats(list(widened(args)))
        if found is None or np.isnan(found[0]).any() or np.abs(found[0]).max() < STEP:
            continue
        x, put = found
        slopes_agree(
            lambda v, put=put, options=options: getattr(fnp, name)(*put(v), **options), x, f"{name} {k}"
        )


def test_what_has_no_derivative_says_so() -> None:
    for f in (lambda v: fnp.nextafter(v, 2.0), fnp.spacing):
        with pytest.raises(fnn.errors.DifferentiationError, match="no derivative"):
            fnn.grad(f)(1.5)


# -- of matrices ------------------------------------------------------------------------------------------------------


def _solvable(dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Matrices with a dominant diagonal, symmetric (and positive definite) if they are square."""
    x = numbers(dtype, shape, -1, 1)
    if shape[-1] != shape[-2]:
        return x
    return ((x + np.conj(np.swapaxes(x, -1, -2))) / 2 + 4 * np.eye(shape[-1])).astype(dtype)


def _product(module: Any, *factors: Any) -> Any:
    out = factors[0]
    for f in factors[1:]:
        out = module.matmul(out, f)
    return out


_H = lambda np_, x: np_.conj(np_.swapaxes(x, -1, -2))
SQUARE, ANY, FULL = [(3, 3), (2, 3, 3), (1, 1)], [(3, 3), (2, 3, 3), (4, 2), (2, 4)], [(3, 3), (2, 3, 3)]
# name: (shapes, function of (module, matrices), whether the result is real)
MATRICES: dict[str, tuple[list[tuple[int, ...]], Callable[[Any, Any], Any], bool]] = {
    "det": (SQUARE, lambda m, x: m.linalg.det(x), False),
    "inv": (SQUARE, lambda m, x: m.linalg.inv(x), False),
    "slogdet": (SQUARE, lambda m, x: m.linalg.slogdet(x)[1], True),
    "cholesky": (SQUARE, lambda m, x: m.linalg.cholesky(x), False),
    "solve": (SQUARE, lambda m, x: m.linalg.solve(x, x[..., :1] + 1), False),
    "eigvalsh": (SQUARE, lambda m, x: m.linalg.eigvalsh(x), True),
    "eigh": (SQUARE, lambda m, x: (lambda w, v: _product(m, v * w[..., None, :], _H(m, v)))(*m.linalg.eigh(x)), False),
    "svdvals": (ANY, lambda m, x: m.linalg.svdvals(x), True),
    "svd": (ANY, lambda m, x: (lambda u, s, v: _product(m, u * s[..., None, :], v))(*m.linalg.svd(x, False)), False),
    "qr": (ANY, lambda m, x: _product(m, *m.linalg.qr(x)), False),
    "pinv": (ANY, lambda m, x: m.linalg.pinv(x), False),
    "matrix_rank": (ANY, lambda m, x: m.linalg.matrix_rank(x) + 0.0 * m.real(x[..., 0, 0]), True),
    "cond": (ANY, lambda m, x: m.linalg.cond(x), True),
    "norm": (ANY, lambda m, x: m.linalg.norm(x, axis=(-2, -1)) + m.linalg.norm(x, 1, axis=(-2, -1)), True),
    "matrix_norm": (ANY, lambda m, x: m.linalg.matrix_norm(x, ord=np.inf, keepdims=True), True),
    "vector_norm": (ANY, lambda m, x: m.linalg.vector_norm(x, axis=-1, ord=3), True),
    "matrix_power": (SQUARE, lambda m, x: m.linalg.matrix_power(x, 3) + m.linalg.matrix_power(x, -1), False),
    "multi_dot": ([(3, 3)], lambda m, x: m.linalg.multi_dot([x, x, x]), False),
    "lstsq": ([(4, 2)], lambda m, x: m.linalg.lstsq(x, x[:, 0] + 1)[0], False),
    "tensorsolve": ([(3, 3)], lambda m, x: m.linalg.tensorsolve(x, x[:, 1]), False),
    "tensorinv": ([(3, 3)], lambda m, x: m.linalg.tensorinv(x, ind=1), False),
    "trace": (ANY, lambda m, x: m.linalg.trace(x, offset=1), False),
    "diagonal": (ANY, lambda m, x: m.linalg.diagonal(x, offset=-1), False),
    "matrix_transpose": (ANY, lambda m, x: m.linalg.matrix_transpose(x), False),
    "matmul": (ANY, lambda m, x: m.linalg.matmul(x, m.linalg.matrix_transpose(x)), False),
    "outer": ([(3, 3)], lambda m, x: m.linalg.outer(x[0], x[1]), False),
    "cross": (FULL, lambda m, x: m.linalg.cross(x, x[..., ::-1, :]), False),
    "vecdot": (ANY, lambda m, x: m.linalg.vecdot(x, x + 1), False),
    "tensordot": ([(3, 3)], lambda m, x: m.linalg.tensordot(x, x, axes=1), False),
    "eigvals": (SQUARE, lambda m, x: m.sort(m.linalg.eigvals(x * (1 + 1j))), False),
    "eig": (SQUARE, lambda m, x: (lambda w, v: _product(m, x + 0j, v) - v * w[..., None, :])(*m.linalg.eig(x)), False),
}  # fmt: skip
NOT_SMOOTH = {
    "eigvals",
    "eig",
    "matrix_rank",
    "cond",
    "qr",
    "lstsq",
}  # qr, lstsq: of these by their own tests


@pytest.mark.parametrize("name", MATRICES)
def test_functions_of_matrices(name: str) -> None:
    shapes, f, real = MATRICES[name]
    for dtype in (*FLOATS[2:], *COMPLEX):
        for shape in shapes:
            x = _solvable(dtype, shape)
            found, wanted = f(fnp, ours(x)), f(np, x)
            target = found.dtype
            assert target in ((real_of(dtype),) if real else (dtype, np.result_type(dtype, np.complex64)))
            single = np.dtype("float32") if real_of(dtype).itemsize == 4 else None
            check(found, wanted, target, f"{name} {dtype} {shape}", single)
            if dtype == FLOATS[3] and name not in NOT_SMOOTH:
                slopes_agree(lambda v: f(fnp, v), x, name)
    if name not in (
        "matrix_rank",
        "multi_dot",
        "outer",
        "tensordot",
        "vector_norm",
        "vecdot",
        "cross",
        "tensorsolve",
        "tensorinv",
        "lstsq",
    ):
        with pytest.raises(ValueError):
            f(fnp, fnp.ones(3))


TRANSFORMS = {
    **each("fft ifft", [((8,), {}), ((3, 5), {"n": 7, "axis": 0, "norm": "ortho"}), ((2, 3), {"n": 2})]),
    **each("rfft ihfft", [((8,), {}), ((3, 5), {"n": 4, "norm": "forward"}), ((6, 2), {"axis": 0})]),
    **each("irfft hfft", [((5,), {}), ((3, 5), {"n": 7}), ((6, 2), {"axis": 0, "norm": "ortho"})]),
    **each("fft2 ifft2 fftn ifftn", [((3, 4), {}), ((2, 3, 4), {"s": (2, 5), "axes": (-1, 0)})]),
    **each(
        "rfft2 rfftn irfft2 irfftn",
        [((3, 4), {}), ((2, 3, 4), {"s": (2, 6), "axes": (0, -1), "norm": "ortho"})],
    ),
    **each("fftshift ifftshift", [((5,), {}), ((3, 4), {"axes": 1})]),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms(name: str) -> None:
    f, g = getattr(fnp.fft, name), getattr(np.fft, name)
    real = name.startswith(("rfft", "ihfft"))
    for shape, options in TRANSFORMS[name]:
        for dtype in (INTEGERS[2], *FLOATS[2:], *([] if real else COMPLEX)):
            x = numbers(dtype, shape)
            found = f(ours(x), **options)
            wanted = g(wide(x, floating(dtype) if "shift" not in name else None), **options)
            single = real_of(floating(dtype)).itemsize == 4
            names = ("complex64", "complex128") if wanted.dtype.kind == "c" else ("float32", "float64")
            target = dtype if "shift" in name else np.dtype(names[0 if single else 1])
            check(found, wanted, target, f"{name} {dtype} {shape}", np.dtype("float32") if single else None)
        slopes_agree(lambda v, options=options: f(v, **options), numbers(FLOATS[3], shape), name)
    for n in (5, 8):
        for helper in ("fftfreq", "rfftfreq"):
            check(
                getattr(fnp.fft, helper)(n, 0.5), getattr(np.fft, helper)(n, 0.5), np.dtype("float64"), helper
            )


# -- methods ----------------------------------------------------------------------------------------------------------

# (what is called, on ours and on NumPy's array)
REDUCED = "sum prod max min all any argmax argmin"
METHODS: list[tuple[str, Callable[[Any], Any]]] = [
    *[(n, lambda v, n=n: getattr(v, n)()) for n in each(REDUCED, 0)],
    *[(n, lambda v, n=n: getattr(v, n)(axis=0)) for n in each(REDUCED, 0)],
    *[(n, lambda v, n=n: getattr(v, n)())
      for n in each("ravel flatten copy conj conjugate squeeze transpose trace diagonal", 0)],
    ("take", lambda v: v.take(np.array([1, 0]), 1)),
    ("reshape", lambda v: v.reshape(-1, 2)), ("swapaxes", lambda v: v.swapaxes(0, 1)),
    ("repeat", lambda v: v.repeat(2, 0)), ("T", lambda v: v.T), ("mT", lambda v: v.mT), ("real", lambda v: v.real),
    ("imag", lambda v: v.imag), ("astype", lambda v: v.astype(v.dtype)), ("dot", lambda v: v.dot(v.T)),
    ("compress", lambda v: v.compress(np.array([True, False]), 0)), ("view", lambda v: v.view()),
    ("__getitem__", lambda v: v[np.array([1, 0]), 1:]), ("byteswap", lambda v: v.byteswap().byteswap()),
]  # fmt: skip
REAL_METHODS: list[tuple[str, Callable[[Any], Any]]] = [
    ("round", lambda v: v.round(1)), ("clip", lambda v: v.clip(-1, 1)), ("argsort", lambda v: v.argsort()),
    ("nonzero", lambda v: v.nonzero()[0]), ("searchsorted", lambda v: v[0, :0].searchsorted(v[0]).astype("int32")),
    ("sort", lambda v: v.copy() * 0 if v.dtype is None else np.sort(v) if isinstance(v, np.ndarray) else v.sort()),
    ("ptp", lambda v: np.ptp(v) if isinstance(v, np.ndarray) else v.ptp()),
]  # fmt: skip
WRITES: list[tuple[str, Callable[[Any, Any, Any], Any]]] = [
    ("set", lambda x, i, v: v), ("add", lambda x, i, v: x + v), ("multiply", lambda x, i, v: x * v),
    ("mul", lambda x, i, v: x * v), ("subtract", lambda x, i, v: x - v), ("divide", lambda x, i, v: x / v),
    ("power", lambda x, i, v: x**v), ("min", lambda x, i, v: np.minimum(x, v)), ("max", lambda x, i, v: np.maximum(x, v)),
]  # fmt: skip


def test_methods() -> None:
    for dtype in (INTEGERS[0], INTEGERS[3], INTEGERS[6], *FLOATS[2:], *COMPLEX):
        x = numbers(dtype, (2, 4))
        for name, f in METHODS + ([] if dtype.kind == "c" else REAL_METHODS):
            wanted = np.asarray(f(x))
            check(f(ours(x)), wanted, wanted.dtype, f"{name} {dtype}")
        assert (ours(x).nbytes, ours(x).itemsize, len(ours(x)), ours(x).tolist()) == (
            x.nbytes,
            x.itemsize,
            2,
            x.tolist(),
        )


def test_writing_at_places() -> None:
    keys: list[Any] = [0, (slice(None), -1), (np.array([1, 0]), slice(0, 3)), (..., np.array([0, 2])), True]
    for dtype in (INTEGERS[0], INTEGERS[7], *FLOATS[2:], COMPLEX[0]):
        x = np.abs(numbers(dtype, (2, 4))) + np.ones((), dtype)
        x = x.astype(dtype)
        for key in keys:
            for name, f in WRITES[: 6 if dtype.kind == "c" else None]:
                if name == "divide" and dtype.kind in "iu":
                    continue  # a float results
                wanted = x.copy()
                wanted[key] = f(x[key], key, np.full((), 2, dtype))
                check(getattr(ours(x).at[key], name)(2), wanted, dtype, f"{name} {dtype} {key}")
    x = ours(np.arange(5.0))
    assert x.at[7].get(mode="fill", fill_value=-1.0) == -1 and x.at[7].get(mode="clip") == 4
    assert x.at[np.array([-1, 9])].set(0, mode="drop").tolist() == [0, 1, 2, 3, 0]
    assert x.at[-1].get(mode="clip", wrap_negative_indices=False) == 0
    assert x.at[np.array([1, 1])].apply(lambda v: v * 3).tolist() == [0, 9, 2, 3, 4]
    assert ours(np.array([True, False])).at[np.array([1, 1])].add(True).tolist() == [True, True]
    assert ours(np.arange(3)).at[1].add(1.7).tolist() == [0, 2, 2]


# -- nothing left out -------------------------------------------------------------------------------------------------


def test_every_public_name_is_tested() -> None:
    tested = {s[0] for s in SAMPLES} | set(families.UNARY) | set(families.BINARY) | set(families.REDUCTIONS)
    tested |= (
        set(families.RUNNING)
        | {m[0] for m in families.MOVES}
        | {j[0] for j in families.JOINS}
        | BY_HAND
        | set(FOLDS)
    )
    tested |= {m[0] for m in families.MADE}
    public = [n for n in fnp.__all__ if callable(getattr(fnp, n)) and not isinstance(getattr(fnp, n), type)]
    assert not [n for n in public if n not in tested and n not in ("__array_namespace_info__", "ufunc")]
    of = lambda module: {
        n for n in dir(np.linalg if module is fnp.linalg else np.fft) if not n.startswith("_")
    }
    functions = lambda module: {
        n for n in of(module) if hasattr(module, n) and callable(getattr(module, n)) and n.islower()
    }
    assert functions(fnp.linalg) <= set(MATRICES)
    assert functions(fnp.fft) <= {*TRANSFORMS, "fftfreq", "rfftfreq"}
