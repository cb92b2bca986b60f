"""Many short rows: bands of them, with what is computed once per row done by lanes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fnn import dtypes
from fnn.kernels.lower import lower
from fnn.kernels.nest import BAND, SHORT
from fnn.primitives import arithmetic as a
from fnn.primitives import comparison as c
from fnn.primitives import reductions as r
from fnn.primitives import structural as s
from fnn.primitives import transcendental as t
from tests.lowering_checks import array, check, graph_of


def across(x: Any, shape: tuple[int, ...]) -> Any:
    return s.broadcast(x, shape=shape, axes=tuple(range(len(shape) - 1)))


def softmax(x: Any) -> Any:
    shape = x.aval.shape
    e = t.exp(a.sub(x, across(r.reduce_max(x, axes=(len(shape) - 1,)), shape)))
    return a.div(e, across(r.reduce_sum(e, axes=(len(shape) - 1,)), shape))


def normalized(x: Any) -> Any:
    shape, last = x.aval.shape, (len(x.aval.shape) - 1,)
    d = a.sub(x, across(a.div(r.reduce_sum(x, axes=last), float(shape[-1])), shape))
    size = a.add(a.div(r.reduce_sum(a.mul(d, d), axes=last), float(shape[-1])), 1e-3)
    return a.mul(d, across(t.rsqrt(size), shape))


def text(f: Any, *arrays: np.ndarray) -> str:
    return "\n".join(str(call.text) for call in lower(graph_of(f, *arrays)).calls)  # type: ignore[union-attr]


SHAPES = [
    (16, 2),
    (33, 3),
    (70, 8),
    (4, 40, 20),
    (100, 17),
    (BAND, SHORT),
    (BAND + 1, 64),
    (5, 7, 31, 5),
    (515, 4),
    (3, 17, 3),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("f", [softmax, normalized])
def test_whole_rows(shape: tuple[int, ...], f: Any) -> None:
    check(lambda x: [f(x)], array(*shape))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_number_per_row(shape: tuple[int, ...]) -> None:
    last = (len(shape) - 1,)

    def f(x: Any, y: Any) -> list[Any]:
        top = r.reduce_max(x, axes=last)
        total = r.reduce_sum(t.exp(a.sub(x, across(top, shape))), axes=last)
        return [a.add(top, t.log(total)), a.mul(t.tanh(total), y), c.gt(total, y)]

    arrays = array(*shape), array(*shape[:-1])
    check(f, *arrays)
    assert "in bands" in text(f, *arrays)


@pytest.mark.parametrize("dtype", ["f2", "f8", "i4", dtypes.bfloat16])
def test_other_types(dtype: Any) -> None:
    shape = (40, 6)

    def f(x: Any, y: Any) -> list[Any]:
        total = r.reduce_sum(x, axes=(1,))
        return [a.mul(x, across(a.add(a.mul(total, total), y), shape)), c.select(c.gt(total, y), total, y)]

    check(f, array(*shape, dtype=dtype), array(40, dtype=dtype))


def test_logistic_regression() -> None:
    def f(x: Any, w: Any, y: Any) -> list[Any]:
        z = r.reduce_sum(a.mul(x, s.broadcast(w, shape=(50, 20), axes=(1,))), axes=(1,))
        p = t.logistic(z)
        return [a.mul(x, across(a.sub(p, y), (50, 20))), a.mul(p, a.sub(1.0, p))]

    check(f, array(50, 20), array(20), array(50))


def test_reductions_of_strided_rows() -> None:
    def f(x: Any) -> list[Any]:
        y = s.slice(x, start=(1, 0, 3), limit=(3, 20, 13), step=(1, 1, 2))
        return [softmax(y), r.reduce_max(s.transpose(y, perm=(1, 0, 2)), axes=(2,))]

    check(f, array(4, 20, 16))


def test_nan_stays_in_its_row() -> None:
    x = array(40, 5)
    x[7, 2], x[9, 1] = np.nan, np.inf
    check(lambda x: [softmax(x), r.reduce_max(x, axes=(1,))], x)


def test_the_number_of_rows_is_no_part_of_a_kernel() -> None:
    keys = [
        [call.key for call in lower(graph_of(lambda x: [softmax(x)], array(n, 12))).calls]  # type: ignore[union-attr]
        for n in (20, 500, 4000)
    ]
    assert keys[0] == keys[1] == keys[2]


def test_few_or_long_rows_are_walked_one_by_one() -> None:
    assert "in bands" not in text(lambda x: [softmax(x)], array(8, 12))
    assert "in bands" not in text(lambda x: [softmax(x)], array(40, SHORT + 1))


@pytest.mark.parametrize("shape", [(50, 20), (300, 130), (4, 40, 24)])
def test_a_number_per_row_is_stored_rather_than_what_it_scales(shape: tuple[int, ...]) -> None:
    """x.T @ f(x @ w): the second product reads x and f(x @ w), not their product."""
    lead = tuple(range(len(shape) - 1))

    def f(x: Any, w: Any) -> list[Any]:
        z = r.reduce_sum(
            a.mul(x, s.broadcast(w, shape=shape, axes=(len(shape) - 1,))), axes=(len(shape) - 1,)
        )
        return [r.reduce_sum(a.mul(x, across(t.tanh(z), shape)), axes=lead), t.exp(z)]

    arrays = array(*shape), array(shape[-1])
    check(f, *arrays)
    written = [v.size for call in lower(graph_of(f, *arrays)).calls for v in call.writes]  # type: ignore[union-attr]
    assert max(written) < arrays[0].size


@pytest.mark.parametrize("dtype", ["f4", "f8", "i1", dtypes.bfloat16])
@pytest.mark.parametrize("shape", [(40, 3), (2, 430, 4), (33, 15)])
def test_maps_of_short_rows(shape: tuple[int, ...], dtype: Any) -> None:
    """Rows that follow each other, that are the same everywhere, backwards, part of longer ones; numbers per row."""
    rank, n = len(shape), shape[-1]

    def f(x: Any, row: Any, longer: Any, single: Any) -> list[Any]:
        y = a.add(x, s.broadcast(row, shape=shape, axes=(rank - 1,)))
        part = s.slice(longer, start=(0,) * (rank - 1) + (1,), limit=(*shape[:-1], n + 1), step=(1,) * rank)
        column = s.broadcast(single, shape=(*shape[:-1], 1), axes=tuple(range(rank - 1)))
        return [
            a.mul(y, s.rev(x, axes=(rank - 1,))),
            a.add(part, across(single, shape)),
            s.concatenate(y, column, axis=rank - 1),
        ]

    longer = (*shape[:-1], n + 2)
    arrays = [array(*dims, dtype=dtype) for dims in (shape, (n,), longer, shape[:-1])]
    check(f, *arrays)
    assert n > 3 or " folded" in text(f, *arrays)


@pytest.mark.parametrize("shape", [(300, 130), (17, 1000), (1100, 65), (3, 40, 200)])
def test_columns_in_rows(shape: tuple[int, ...]) -> None:
    """Panels wider than a few vectors: totals wait while rows are walked."""
    first = (len(shape) - 2,)

    def f(x: Any) -> list[Any]:
        return [
            r.reduce_sum(x, axes=first),
            r.reduce_max(x, axes=first),
            r.reduce_or(c.gt(x, 2.0), axes=first),
        ]

    check(f, array(*shape))


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", dtypes.bfloat16, "i1", "b1"])
def test_turned_blocks(dtype: Any) -> None:
    """Whole squares, edges, fewer than a square; elements with gaps."""
    for shape in ((8, 8), (7, 9), (64, 65), (130, 70)):
        check(lambda x: [s.transpose(x, perm=(1, 0))], array(*shape, dtype=dtype))
    pairs = array(40, 30, 2, dtype=dtype)
    check(
        lambda x: [
            s.transpose(s.slice(x, start=(0, 0, 1), limit=(40, 30, 2), step=(1, 1, 1)), perm=(1, 0, 2))
        ],
        pairs,
    )
