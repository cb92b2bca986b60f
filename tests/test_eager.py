"""Operations outside of any transformation: what is prepared once for operands of given types means what the
operation means, and NumPy's settings are left alone."""

from __future__ import annotations

import threading
import warnings
from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn.core.array import ConcreteArray, as_array
from fnn.core.primitive import Primitive, Sample, registry
from fnn.core.trace import aval_of
from fnn.errors import DonatedError, IndexingError
from fnn.primitives.rules import HALVES

READY = [(p, k) for p in registry.values() if p.evaluate_for is not None for k in range(len(p.samples))]


def _id(case: Any) -> str:
    return f"{case[0].name}-{case[1]}"


@pytest.mark.parametrize("case", READY, ids=_id)
def test_evaluation_for_types_is_evaluation(case: tuple[Primitive, int]) -> None:
    primitive, number = case
    sample: Sample = primitive.samples[number]
    for convert in (False, True):  # Python numbers, and the arrays they become
        if convert and primitive.name == "bitcast":
            continue  # a number has the width that is asked for, an array its own
        args = [
            x if type(x) in (int, float, bool) and not convert else as_array(x) if np.ndim(x) == 0 and convert
            else ConcreteArray(np.asarray(x), aval_of(x)) if isinstance(x, (np.ndarray, np.generic)) else x
            for x in sample.arrays(np.random.default_rng(0))
        ]  # fmt: skip
        with np.errstate(all="ignore"):
            plain = primitive.evaluate(
                *[np.asarray(x) if isinstance(x, ConcreteArray) else x for x in args], **sample.params
            )
        for _ in range(2):  # made ready, and found ready
            out = primitive(*args, **sample.params)
            aval = primitive.out_aval(tuple([aval_of(x) for x in args]), sample.params)
            assert out.aval is aval and out.value.dtype == aval.dtype and out.value.shape == aval.shape
            wanted = np.asarray(plain).astype(aval.dtype)
            as_seen = np.float32 if aval.dtype in HALVES else aval.dtype  # their NaNs compare as equal
            np.testing.assert_array_equal(out.value.astype(as_seen), wanted.astype(as_seen))


def test_operations_do_not_warn_and_leave_numpys_settings() -> None:
    x = fnp.array([0.0, -1.0, 1e38])
    called: list[Any] = []

    def work() -> None:
        fnp.log(x), x / 0, x * x * x, fnp.sqrt(x), fnp.sum(x * x), x @ (x * 1e10)

    for setting in ("raise", "warn", "call", "print"):
        with warnings.catch_warnings(), np.errstate(all=setting, call=lambda *a: called.append(a)):
            warnings.simplefilter("error")
            before = np.geterr()
            work()
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            assert np.geterr() == before and not called
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        np.float32(1) / np.zeros(1)


def test_operations_within_an_evaluation() -> None:
    """A primitive whose evaluation calls others, in its own thread's and in other contexts."""
    name = "a primitive of this test"
    outer = Primitive(name, shape=lambda x: x, evaluate=lambda x: np.asarray(fnp.exp(fnp.log(x) * 2) + x))
    try:
        x = fnp.array([1.0, 2.0])
        np.testing.assert_allclose(outer(x), [2, 6], rtol=1e-6)
        threads = [threading.Thread(target=lambda: [outer(x) for _ in range(50)]) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        np.testing.assert_allclose(outer(x), [2, 6], rtol=1e-6)
    finally:
        del registry[name]


def test_operations_depend_on_enable_x64() -> None:
    for _ in range(2):
        assert fnp.add(1, 2).dtype == np.int32 and fnp.sin(1.0).dtype == np.float32
        with fnn.enable_x64():
            assert fnp.add(1, 2).dtype == np.int64 and fnp.sin(1.0).dtype == np.float64


def test_donated_arrays_are_refused() -> None:
    x = fnp.ones(4)
    fnn.jit(lambda x: x + 1, donate_argnums=0)(x)
    for use in (
        lambda: x + 1,
        lambda: x > 1,
        lambda: fnp.sin(x),
        lambda: x[0],
        lambda: fnp.where(x, 1, 2),
        lambda: x.reshape(2, 2),
    ):
        with pytest.raises(DonatedError, match="donated"):
            use()


KEYS: list[Any] = [
    0, -1, 2, slice(None), slice(1, 3), slice(None, None, -1), slice(3, 0, -2), slice(5, 9), ..., None,
    (0, 1), (slice(None), 1), (..., 0), (None, 0), (slice(0, 0), slice(1)), (0, None, ..., slice(-2, None)), (),
    (1, 1, 1), (slice(None), None, slice(None, None, 2)),
]  # fmt: skip
PLACES: list[Any] = [
    np.array([0, 2]), np.array([[1], [-1]]), np.array([], np.int32), np.array([7, -9, 3]), np.array([1, 250], np.uint8),
    (slice(None), np.array([1, 0])), (slice(None), slice(None), np.array([[4, 0]])), (np.array([0, 1]), np.array([1, 1])),
    (0, np.array([1, -1])), (np.array([2, 0]), 1), (slice(1, None), np.array([0])), np.array(1),
]  # fmt: skip


@pytest.mark.parametrize("key", [*KEYS, *PLACES], ids=str)
def test_indexing_is_the_same_when_compiled(key: Any) -> None:
    for x in (fnp.arange(60.0).reshape(3, 4, 5), fnp.arange(60).reshape(3, 4, 5).T):
        eager, compiled = x[key], fnn.jit(lambda x: x[key])(x)
        assert eager.aval is compiled.aval
        np.testing.assert_array_equal(eager, compiled)
        np.testing.assert_array_equal(fnn.vmap(lambda x: x[key])(x[None])[0], eager)
    if not isinstance(key, np.ndarray):  # NumPy refuses places out of range
        expected = np.arange(60.0).reshape(3, 4, 5)[key]
        np.testing.assert_array_equal(fnp.arange(60.0).reshape(3, 4, 5)[key], expected)


def test_indexing_says_what_is_wrong() -> None:
    x = fnp.arange(6.0).reshape(2, 3)
    for key in (2, (0, 3), (0, 0, 0), -3, (..., ...), slice(None, None, 0)):
        with pytest.raises(IndexingError, match=r"test_eager.py"):
            x[key]
    assert x[1, 2].aval.shape == () and float(x[1, 2]) == 5
    weak = as_array(1.0)
    assert weak[None].weak_type == fnn.jit(lambda x: x[None])(weak).weak_type


def test_slices_of_arrays_under_a_trace_are_recorded() -> None:
    x = fnp.arange(4.0)
    assert "slice" in str(fnn.make_ir(lambda y: x[1:3] + y)(1.0))
    np.testing.assert_array_equal(fnn.grad(lambda x: x[1:3][0] * 2)(x), [0, 2, 0, 0])


def test_gradients_keep_only_what_they_use() -> None:
    w = fnp.asarray(np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4))

    def f(x: Any, y: Any) -> Any:
        z = fnp.tanh(x @ w * 0.5 - y) / (1 + x.sum() ** 2)
        return fnp.sum(fnp.maximum(z, 0.1) * fnp.where(z > 0, z, y))

    x, y = fnp.ones((2, 3)) * 0.3, fnp.ones((2, 4)) * 0.2
    for argnums in (0, 1, (0, 1)):
        eager, compiled = fnn.grad(f, argnums)(x, y), fnn.jit(fnn.grad(f, argnums))(x, y)
        for a, b in zip(fnn.tree.leaves(eager), fnn.tree.leaves(compiled), strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)
    second = fnn.grad(lambda x: fnp.sum(fnn.grad(f)(x, y) ** 2))(x)
    np.testing.assert_allclose(
        second, fnn.jit(fnn.grad(lambda x: fnp.sum(fnn.grad(f)(x, y) ** 2)))(x), rtol=1e-4, atol=1e-5
    )
