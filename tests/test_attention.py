"""fnn.nn.dot_product_attention against the formula, written with all scores in float64."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn.config import config
from fnn.errors import ArgumentError, DtypeError, ShapeError
from fnn.kernels.loops import Builder
from fnn.kernels.operand import Operand
from fnn.nn import dot_product_attention
from fnn.primitives import attention_kernels
from fnn.primitives.attention_kernels import MASKED, Pattern
from tests.loop_harness import run
from tests.tolerances import assert_close

rng = np.random.default_rng(7)


def real(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    return rng.standard_normal(shape).astype(dtype)


def oracle(
    query: np.ndarray, key: np.ndarray, value: np.ndarray, bias: Any = None, mask: Any = None, **how: Any
) -> np.ndarray:
    """(result, log of the sum of exp(score)), pair by pair as the documentation says."""
    q, k, v = (x.astype(np.float64) for x in (query, key, value))
    (_, queries, heads, features), (_, keys, groups, _) = q.shape, k.shape
    k, v = (np.repeat(x, heads // groups, 2) for x in (k, v))
    scores = np.einsum("btnh,bsnh->bnts", q, k) * (how.get("scale") or features**-0.5)
    if bias is not None:
        scores = scores + np.asarray(bias, np.float64)
    mine, its = np.arange(queries)[:, None], np.arange(keys)
    counts = np.ones(scores.shape, bool) if mask is None else np.broadcast_to(mask, scores.shape)
    if how.get("is_causal"):
        counts = counts & (its <= mine)
    window = how.get("local_window_size")
    if window is not None:
        left, right = (window, window) if isinstance(window, int) else window
        counts = counts & (its >= mine - left) & (its <= mine + right)
    if how.get("key_value_seq_lengths") is not None:
        counts = counts & (its < how["key_value_seq_lengths"][:, None, None, None])
    scores = np.where(counts, scores, MASKED)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    out = np.einsum("bnts,bsnh->btnh", weights / weights.sum(-1, keepdims=True), v)
    if how.get("query_seq_lengths") is not None:
        out = np.where(
            np.arange(queries)[:, None, None] < how["query_seq_lengths"][:, None, None, None], out, 0
        )
    return out


# (queries, keys, heads, groups, features)
SIZES = [(5, 7, 4, 2, 8), (70, 33, 2, 2, 16), (1, 130, 4, 1, 8), (65, 65, 2, 1, 33), (128, 64, 1, 1, 64)]
BATCH = 2


def cases() -> dict[str, Any]:
    """name -> (queries, keys, heads) -> arguments."""

    def at_random(share: float, *shape: int) -> np.ndarray:
        return rng.random(shape) < share

    def lengths(*n: int) -> np.ndarray:
        return np.array(n, np.int32)

    return {
        "plain": lambda t, s, n: {},
        "scale": lambda t, s, n: {"scale": 0.3},
        "causal": lambda t, s, n: {"is_causal": True},
        "window": lambda t, s, n: {"local_window_size": (3, 1)},
        "causal window": lambda t, s, n: {"local_window_size": 2, "is_causal": True},
        "bias": lambda t, s, n: {"bias": real(1, n, t, s)},
        "bias of keys": lambda t, s, n: {"bias": real(BATCH, 1, 1, s), "is_causal": True},
        "mask": lambda t, s, n: {"mask": at_random(0.5, BATCH, n, t, s)},
        "mask with rows without keys": lambda t, s, n: {"mask": at_random(0.02, 1, 1, t, s), "is_causal": True},
        "mask of keys": lambda t, s, n: {"mask": at_random(0.3, BATCH, 1, 1, s)},
        "lengths": lambda t, s, n: {"key_value_seq_lengths": lengths(0, s // 2)},
        "both lengths": lambda t, s, n: {
            "query_seq_lengths": lengths(t // 2, t), "key_value_seq_lengths": lengths(s, 1), "is_causal": True,
        },
        "everything": lambda t, s, n: {
            "bias": real(1, n, t, 1), "mask": at_random(0.5, 1, 1, t, s), "local_window_size": (9, 4),
            "key_value_seq_lengths": lengths(s, s // 2 + 1),
        },
    }  # fmt: skip


CASES = cases()


def drawn(name: str, size: tuple[int, ...], dtype: Any = np.float32) -> tuple[tuple, dict[str, Any]]:
    t, s, n, k, h = size
    arrays = (
        real(BATCH, t, n, h, dtype=dtype),
        real(BATCH, s, k, h, dtype=dtype),
        real(BATCH, s, k, h, dtype=dtype),
    )
    return arrays, CASES[name](t, s, n)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_values(name: str, size: tuple[int, ...]) -> None:
    arrays, how = drawn(name, size)
    want = oracle(*arrays, **how).astype(np.float32)
    attend = functools.partial(dot_product_attention, **how)
    assert_close(attend(*arrays), want, 4, what="eager")
    assert_close(fnn.jit(attend)(*arrays), want, 4, what="compiled")


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("size", SIZES[1:4:2], ids=str)
def test_gradient(name: str, size: tuple[int, ...]) -> None:
    """Against differences of the formula in float64."""
    arrays, how = drawn(name, size)
    weights = real(*arrays[0].shape)
    bias = (how.pop("bias"),) if "bias" in how else ()

    def loss(*xs: Any) -> Any:
        return fnp.sum(dot_product_attention(*xs, **how) * weights)

    args = [*arrays, *bias]
    places = tuple(range(len(args)))
    got = fnn.jit(fnn.grad(loss, places))(*args)
    eager = fnn.grad(loss, places)(*args)
    wide = [a.astype(np.float64) for a in args]
    for k, (g, e) in enumerate(zip(got, eager, strict=True)):
        assert_close(g, e, 16, what=f"eager {k}")
        along, step = rng.standard_normal(wide[k].shape), 1e-6
        ends = []
        for sign in (1, -1):
            moved = [a + sign * step * along if i == k else a for i, a in enumerate(wide)]
            ends.append(np.sum(oracle(*moved, **how) * weights))
        want = (ends[0] - ends[1]) / (2 * step)
        assert abs(np.vdot(np.asarray(g, np.float64), along) - want) <= 2e-4 * (1 + abs(want))


@pytest.mark.parametrize("dtype", [np.float64, fnn.dtypes.bfloat16, np.float16], ids=str)
@pytest.mark.parametrize("name", ["plain", "causal", "bias", "mask", "everything"])
def test_dtypes(name: str, dtype: Any) -> None:
    given, how = drawn(name, (40, 37, 4, 2, 24), dtype)
    arrays = [fnp.asarray(x, dtype=dtype) for x in given]

    def loss(*xs: Any) -> Any:
        return fnp.sum(dot_product_attention(*xs, **how).astype(fnp.float64) ** 2)

    wide = [fnp.asarray(x, dtype=np.float64) for x in given]
    out = fnn.jit(functools.partial(dot_product_attention, **how))(*arrays)
    assert_close(out, oracle(*given, **how).astype(dtype), 4)
    got = fnn.jit(fnn.grad(loss, (0, 1, 2)))(*arrays)
    for g, want in zip(got, fnn.grad(loss, (0, 1, 2))(*wide), strict=True):
        assert_close(g, np.asarray(want).astype(dtype), 8)


@pytest.mark.parametrize("order", list(itertools.permutations(("vmap", "jit", "grad"))), ids="-".join)
def test_transformations_commute(order: tuple[str, ...]) -> None:
    arrays, _ = drawn("plain", (9, 6, 4, 2, 8))
    mask = rng.random((4, 9, 6)) < 0.7
    batched = real(3, *arrays[0].shape), real(3, *arrays[1].shape)

    def loss(q: Any, k: Any) -> Any:
        return fnp.sum(dot_product_attention(q, k, arrays[2], mask=mask, is_causal=True) ** 2)

    f: Any = loss
    for name in order:
        if name == "grad" and "vmap" in order[: order.index(name)]:
            f = fnn.grad(lambda *xs, f=f: fnp.sum(f(*xs)), (0, 1))
        else:
            f = {"vmap": fnn.vmap, "jit": fnn.jit, "grad": lambda g: fnn.grad(g, (0, 1))}[name](f)
    one_by_one = [fnn.grad(loss, (0, 1))(q, k) for q, k in zip(*batched, strict=True)]
    for got, want in zip(f(*batched), zip(*one_by_one, strict=True), strict=True):
        assert_close(got, np.stack(want), 16)


def test_unbatched_operands_and_batch_of_one_argument() -> None:
    q, k, v = real(9, 4, 8), real(6, 2, 8), real(6, 2, 8)
    want = oracle(q[None], k[None], v[None])[0].astype(np.float32)
    assert_close(dot_product_attention(q, k, v), want, 4)
    several = real(3, 6, 2, 8)
    got = fnn.vmap(dot_product_attention, (None, None, 0))(q, k, several)
    assert_close(got, np.stack([oracle(q[None], k[None], x[None])[0] for x in several]).astype(np.float32), 4)


def test_residual_is_the_logarithm_of_the_sum() -> None:
    (q, k, v), _ = drawn("plain", (9, 70, 4, 4, 8))
    scores = np.einsum("btnh,bsnh->btns", q.astype(np.float64), k.astype(np.float64)) * 8**-0.5
    want = np.log(np.exp(scores).sum(-1)).astype(np.float32)
    for f in (dot_product_attention, fnn.jit(dot_product_attention, static_argnames="return_residual")):
        _, residual = f(q, k, v, return_residual=True)
        assert_close(residual, want, 4)
    slope = fnn.grad(lambda q: fnp.sum(dot_product_attention(q, k, v, return_residual=True)[1]))(q)
    assert not np.any(np.asarray(slope))


def test_traced_scale_takes_part_in_derivatives() -> None:
    (q, k, v), _ = drawn("plain", (9, 6, 4, 2, 8))

    def loss(scale: Any) -> Any:
        return fnp.sum(dot_product_attention(q, k, v, scale=scale) ** 2)

    step = 1e-5
    ends = [np.sum(oracle(q, k, v, scale=0.3 + s) ** 2) for s in (step, -step)]
    assert abs(float(fnn.jit(fnn.grad(loss))(0.3)) - (ends[0] - ends[1]) / (2 * step)) < 1e-3


def test_infinite_biases_as_in_ieee() -> None:
    """-inf in a bias takes a pair out; a query that loses all of them has no mean: NaN."""
    (q, k, v), _ = drawn("plain", (70, 130, 2, 2, 8))
    out = rng.random((1, 1, 70, 130)) < 0.5
    out[..., :66] |= np.arange(70)[:, None] % 3 == 0  # whole blocks of keys
    out[0, 0, 5] = True
    bias = np.where(out, -np.inf, 0.0).astype(np.float32)
    got = np.asarray(fnn.jit(dot_product_attention)(q, k, v, bias))
    assert np.isnan(got[:, 5]).all()
    want = oracle(q, k, v, mask=~out)
    assert_close(np.delete(got, 5, 1), np.delete(want, 5, 1).astype(np.float32), 4)


def test_a_nan_stays_in_its_rows() -> None:
    (q, k, v), _ = drawn("plain", (70, 40, 2, 2, 8))
    q[0, 3, 1] = np.nan
    got = np.isnan(np.asarray(fnn.jit(dot_product_attention)(q, k, v)))
    assert got[0, 3, 1].all() and got.sum() == 8


def test_memory_does_not_grow_with_the_scores() -> None:
    heads, features = 2, 16

    def loss(q: Any, k: Any, v: Any) -> Any:
        return fnp.sum(dot_product_attention(q, k, v, is_causal=True) ** 2)

    for f in (loss, fnn.grad(loss, (0, 1, 2))):
        peaks = []
        for length in (512, 2048):
            x = np.zeros((1, length, heads, features), np.float32)
            peaks.append(fnn.jit(f).lower(x, x, x).compile().memory().arena)
        assert peaks[1] <= 4.5 * peaks[0] + 4096
        assert peaks[1] < heads * 2048 * 2048 * 4 / 8


@pytest.mark.parametrize("name", ["causal", "everything"])
def test_the_same_bits_for_any_number_of_threads(name: str) -> None:
    arrays, how = drawn(name, (200, 200, 4, 2, 32))

    def loss(*xs: Any) -> Any:
        return fnp.sum(dot_product_attention(*xs, **how) ** 2)

    results = []
    for threads in (1, 2, 4):
        with config.using(num_threads=threads):
            out = fnn.jit(fnn.value_and_grad(loss, (0, 1, 2)))(*arrays)
            results.append([np.asarray(x).tobytes() for x in fnn.tree.leaves(out)])
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("printer", ["vector64", "vector32", "vector16", "numba"])
@pytest.mark.parametrize("code", ["f4", "f8"])
def test_printers_agree(printer: str, code: str) -> None:
    """The loop programs give the same through every printer, at every width, in their own arrays only."""
    pattern = Pattern(0.25, 9, 3, True, True, True)
    shapes = [(1, 37, 4, 20), (1, 70, 2, 20), (1, 70, 2, 40), (1, 4, 37, 1), (1, 1, 37, 70), (1,)]
    dtype = np.dtype(code)
    given = [real(*s, dtype=dtype) for s in shapes[:4]]
    given += [rng.random(shapes[4]) < 0.6, np.array([66], np.int32)]
    codes = [code] * 4 + ["b1", "i4"]

    def program(write: Any, ins: list[np.ndarray], codes: list[str], outs: list[np.ndarray]) -> None:
        b = Builder()
        operands = [Operand(b.argument(c), x.shape, c) for x, c in zip(ins, codes, strict=True)]
        results = [Operand(b.argument(code, output=True), x.shape, code) for x in outs]
        write(b, operands, results, pattern, code)
        tiles = attention_kernels.forward_tiles(shapes[0]) if len(outs) == 2 else 2
        run(b.program, [*ins, *outs], tiles, printer)

    out, lse = np.zeros((1, 37, 4, 40), dtype), np.zeros((1, 4, 37), dtype)
    program(attention_kernels.write_forward, given, codes, [out, lse])
    from fnn.transforms.attention import attention, attention_gradient

    inputs = [fnp.asarray(x, dtype=x.dtype) for x in given]
    want = [np.asarray(x).copy() for x in attention(*inputs, pattern=pattern)]
    assert_close(out, want[0], 4)
    assert_close(lse, want[1], 4)
    more = [want[1], real(1, 4, 37, dtype=dtype), real(1, 37, 4, 40, dtype=dtype)]
    slopes = [np.zeros(s, dtype) for s in shapes[:3]]
    program(attention_kernels.write_backward, [*given, *more], [*codes, code, code, code], slopes)
    inputs += [fnp.asarray(x, dtype=dtype) for x in more]
    for got, expected in zip(slopes, attention_gradient(*inputs, pattern=pattern), strict=True):
        assert_close(got, np.asarray(expected), 16)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"mask": np.ones((1, 1, 5, 6), np.float32)}, DtypeError, "bool"),
        ({"mask": np.ones((1, 3, 5, 6), bool)}, ShapeError, "broadcast"),
        ({"bias": np.ones((1, 1, 5, 7), np.float32)}, ShapeError, "broadcast"),
        ({"key": np.ones((2, 6, 3, 8), np.float32)}, ShapeError, "key"),
        ({"value": np.ones((2, 6, 2, 8), np.float16)}, DtypeError, "dtype"),
        ({"query": np.ones((5, 8), np.float32)}, ShapeError, "query"),
        ({"key_value_seq_lengths": np.ones(3, np.int32)}, ShapeError, "key_value_seq_lengths"),
        ({"query_seq_lengths": np.ones(2, np.float32)}, ShapeError, "query_seq_lengths"),
        ({"implementation": "cudnn"}, ArgumentError, "cudnn"),
    ],
)
def test_errors(change: dict[str, Any], error: type[Exception], words: str) -> None:
    good = {"query": real(2, 5, 4, 8), "key": real(2, 6, 2, 8), "value": real(2, 6, 2, 8)}
    with pytest.raises(error, match=words):
        dot_product_attention(**{**good, **change})
