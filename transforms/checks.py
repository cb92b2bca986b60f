"""Checks of values, as equations: they raise where the program runs, or become values themselves (`checkify`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fnn import primitives as P
from fnn import tree
from fnn.core.array import as_array
from fnn.core.aval import Aval
from fnn.core.lowering import PythonCall
from fnn.core.primitive import Primitive, Sample
from fnn.core.source import Source, describe, here
from fnn.core.trace import aval_of
from fnn.core.tracebacks import filtered
from fnn.dtypes import is_key
from fnn.errors import ArgumentError, CheckError, IndexingError, ShapeError
from fnn.primitives.rules import lift
from fnn.transforms.flattening import flatten_arguments


class Site:
    """A check in the program. kind: "user", "index", "nan" or "div"; text(*values) -> what is wrong, given the values
    at the place that failed; debug: it counts only where errors are values."""

    __slots__ = ("kind", "text", "source", "debug", "__name__")

    def __init__(self, kind: str, text: Callable[..., str], source: Source | None, debug: bool = False):
        self.kind, self.text, self.source, self.debug = kind, text, source, debug
        self.__name__ = kind

    def error(self, values: Sequence[Any]) -> Exception:
        """The exception for these values."""
        kind = IndexingError if self.kind == "index" else CheckError
        return kind(f"{self.text(*values)} (the check at {describe(self.source)})")


def _verify(p: dict[str, Any]) -> Callable[..., list]:
    site = p["site"]

    def verify(pred: np.ndarray, *values: np.ndarray) -> list:
        if not site.debug and not np.all(pred):
            at = tuple(np.argwhere(~np.asarray(pred))[0])
            raise site.error([np.asarray(v)[at] for v in values])
        return []

    return verify


def _batch(frame: Any, flags: Sequence[bool], args: Sequence[Any], p: dict[str, Any]) -> Any:
    return check_p(*[lift(frame.size, a, f) for a, f in zip(args, flags, strict=True)], **p), []


def _samples() -> list[Sample]:
    site = Site("user", lambda x: f"{x} is not positive", None)
    return [Sample((np.ones(n, bool), f"f4[{n}]"), {"site": site}, differentiate=False) for n in (3, 0)]


check_p = Primitive(
    "check",
    multiple=True,
    shape=lambda *avals, site: (),
    evaluate=lambda *args, site: _verify({"site": site})(*[np.asarray(a) for a in args]),
    jvp=lambda primals, tangents, p: (check_p(*primals, **p), []),
    vjp=lambda needs, args, p: (check_p(*args, **p), None, []),
    batch=_batch,
    lower=PythonCall(_verify),
    samples=_samples,
    effect=lambda params: True,
)


@filtered
def check(pred: Any, msg: str, *args: Any, debug: bool = False, **kwargs: Any) -> None:
    """Raise `fnn.errors.CheckError` with msg.format(*args, **kwargs) where pred, a scalar bool, is false when the
    program runs: inside jit, vmap (at the first element that fails), loops and branches too.

    Inside of `checkify` the error becomes a value instead. debug: only there, otherwise nothing is checked.

    >>> import fnn, fnn.numpy as fnp
    >>> @fnn.jit
    ... def f(x):
    ...     fnn.debug.check(x > 0, "x must be positive, not {x}", x=x)
    ...     return fnp.log(x)
    >>> print(f(1.0))
    0.0
    """
    given = as_array(pred)
    if given.shape:
        raise ShapeError(
            f"check takes one bool, not {given.aval}, at {describe(here())}; use fnn.numpy.all(...)"
        )
    if given.dtype.kind != "b":
        raise ArgumentError(f"check takes a bool, not {given.aval}, at {describe(here())}")
    leaves, structure = flatten_arguments(
        "check, whose message has arrays or pytrees of them", (args, kwargs)
    )
    arrays = [_shown(a) for a in leaves]

    def text(*values: Any) -> str:
        shown = [v[()] if isinstance(v, np.ndarray) and not v.ndim else v for v in map(np.asarray, values)]
        places, names = tree.unflatten(structure, shown)
        return msg.format(*places, **names)

    text(*[np.zeros(a.shape, a.dtype) for a in arrays])  # a format string that does not fit fails here
    check_p(given, *arrays, site=Site("user", text, here(), debug))


def _shown(x: Any) -> Any:
    """What a message shows of an array: of a key, its two words."""
    return P.rev(P.bitcast(x, dtype=np.dtype("uint32")), axes=(x.ndim,)) if is_key(x.dtype) else x


def check_indices(indices: Any, axis: int, shape: tuple[int, ...]) -> None:
    """An index error where integer indices, counted from either end, lie outside of an axis."""
    size = shape[axis]
    inside = P.and_(_compared(P.ge, indices, -size), _compared(P.lt, indices, size))

    def text(index: Any) -> str:
        return (
            f"out-of-bounds indexing: the index {index} is out of bounds for axis {axis} of size {size}, in an array "
            f"of shape {shape}"
        )

    check_p(inside, indices, site=Site("index", text, here()))


def check_starts(starts: Sequence[Any], sizes: Sequence[int], shape: tuple[int, ...]) -> None:
    """An index error where a box sticks out of an array."""
    for axis, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        last = shape[axis] - size

        def text(index: Any, axis: int = axis, size: int = size) -> str:
            return (
                f"out-of-bounds indexing: a box of size {size} that starts at {index} sticks out of axis {axis} of size "
                f"{shape[axis]}, in an array of shape {shape}"
            )

        inside = P.and_(_compared(P.ge, start, 0), _compared(P.le, start, last))
        check_p(inside, start, site=Site("index", text, here()))


def _compared(compare: Callable[..., Any], x: Any, number: int) -> Any:
    """x against a number that may lie outside of its dtype."""
    aval: Aval = aval_of(x)
    info = np.iinfo(aval.dtype)
    return compare(x, np.asarray(min(max(number, int(info.min)), int(info.max)), aval.dtype))
