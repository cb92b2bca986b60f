"""Comparisons, and choice by a predicate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fnn.core.aval import Aval
from fnn.core.primitive import Primitive, Sample
from fnn.core.source import describe, here
from fnn.core.trace import aval_of
from fnn.errors import DtypeError, ShapeError
from fnn.primitives.pairs import and_, chosen, equal, unequal
from fnn.primitives.rules import elementwise, meet, together, zeros

BOOL = np.dtype("bool")


# -- comparisons ---------------------------------------------------------------------------------------------


def _comparison(
    name: str,
    ufunc: np.ufunc,
    of_bools: Callable[[Any, Any], Any],
    of_pairs: Callable[..., Any] | None = None,
) -> Primitive:
    """A comparison; of_bools(x, y) says it with the logic of loop values, which have no order among bools."""
    edges = (
        np.array([1, 2, 3, np.nan, np.inf, -0.0], np.float32),
        np.array([1, 3, 2, np.nan, np.inf, 0.0], np.float32),
    )
    pairs: list[tuple[Any, Any]] = [
        ("f4[2,3]", "f4[2,3]"),
        ("f4[]", "f4[3]"),
        ("f4[3]", 0.5),
        ("i4[4]", "i4[4]"),
        ("u1[4]", "u1[4]"),
        ("b1[6]", "b1[6]"),
        ("f4[0,3]", "f4[0,3]"),
        ("i4[]", "i4[]"),
        (1, 2),
        edges,
    ]
    if of_pairs is not None:
        pairs += [
            ("c8[2,3]", "c8[2,3]"),
            (np.array([1, 1, 1 + 2j, np.nan], np.complex64), np.array([1, 1j, 1 + 2j, np.nan], np.complex64)),
        ]
    return elementwise(
        name,
        ufunc,
        lambda b, x, y: of_bools(x, y) if x.dtype == "b1" else b.op(name, x, y),
        kinds="biuf" if of_pairs is None else "biufc",
        dtype=BOOL,
        samples=lambda: [Sample(pair) for pair in pairs],
        pairs=of_pairs,
    )


eq = _comparison("eq", np.equal, lambda x, y: ~(x ^ y), equal)
ne = _comparison("ne", np.not_equal, lambda x, y: x ^ y, unequal)
lt = _comparison("lt", np.less, lambda x, y: ~x & y)
le = _comparison("le", np.less_equal, lambda x, y: ~x | y)
gt = _comparison("gt", np.greater, lambda x, y: x & ~y)
ge = _comparison("ge", np.greater_equal, lambda x, y: x | ~y)
is_finite = elementwise(
    "is_finite",
    np.isfinite,
    lambda b, x: b.op("abs", x) <= float(np.finfo(np.float32 if x.dtype == "f4" else np.float64).max),
    kinds="fc",
    dtype=BOOL,
    pairs=lambda x: is_finite(x.re) if x.im is None else and_(is_finite(x.re), is_finite(x.im)),
    samples=lambda: [
        Sample(("f4[2,3]",)),
        Sample((np.array([1, np.inf, -np.inf, np.nan, 3e38], np.float32),)),
        Sample((np.array([1, np.inf, 1j * np.inf, complex(1, np.nan)], np.complex64),)),
        Sample(("f4[0]",)),
        Sample((1.5,)),
    ],
)

# -- choice --------------------------------------------------------------------------------------------------


def _select_shape(predicate: Aval, on_true: Aval, on_false: Aval) -> Aval:
    if predicate.dtype != BOOL:
        raise DtypeError(
            f"select: the predicate {predicate} is not bool, at {describe(here())}; compare it with 0"
        )
    out = meet("select", (on_true, on_false))
    shapes = {a.shape for a in (predicate, out) if a.shape}
    if len(shapes) > 1:
        raise ShapeError(
            f"select: the predicate {predicate} and the choices {on_true}, {on_false} have different shapes, "
            "at "
            f"{describe(here())}; fnn.numpy.where broadcasts them"
        )
    return out.update(shape=shapes.pop()) if shapes else out


def _select_evaluate(predicate: Any, on_true: Any, on_false: Any) -> np.ndarray:
    return np.where(predicate, *together((on_true, on_false)))


def _zero_like(t: Any) -> Any:
    return zeros(Aval((), aval_of(t).dtype))


# on_true where the predicate holds, on_false elsewhere; any of them may be a scalar
select = elementwise(
    "select",
    _select_evaluate,
    lambda b, c, x, y: b.select(c, x, y),
    None,
    lambda t, _out, c, _x, _y: select(c, t, _zero_like(t)),
    lambda t, _out, c, _x, _y: select(c, _zero_like(t), t),
    shape=_select_shape,
    raw=True,
    pairs=chosen,
    samples=lambda: [
        Sample(("b1[2,3]", "f4[2,3]", "f4[2,3]")),
        Sample(("b1[]", "f4[3]", "f4[3]")),
        Sample(("b1[3]", "f4[]", "f4[]")),
        Sample(("b1[3]", "f4[3]", 0.5)),
        Sample((True, "f4[2]", "f4[]")),
        Sample(("b1[4]", "i4[4]", "i4[4]")),
        Sample(("b1[4]", "b1[4]", "b1[4]")),
        Sample(("b1[0]", "f4[0]", "f4[0]")),
        Sample(("b1[2]", "key[2]", "key[2]")),
        Sample(("b1[2]", "bf[2]", "bf[2]")),
        Sample(("b1[3]", "c8[3]", "c8[3]")),
        Sample(("b1[2]", "c16[2]", 1.5)),
        Sample(("b1[2]", 1.5, 2.5)),
    ],
)
