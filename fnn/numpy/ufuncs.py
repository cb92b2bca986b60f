"""Functions of pairs of numbers that can be folded: `add.reduce`, `maximum.accumulate`, `multiply.outer`, `add.at`."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from fnn.core.source import describe, here
from fnn.core.trace import Tracer, aval_of
from fnn.errors import ArgumentError, ConcretizationError, UnsupportedError
from fnn.indexing import IndexUpdateHelper
from fnn.numpy.functional import vectorize
from fnn.operations import reductions
from fnn.operations.choice import astype, where
from fnn.operations.creation import arange, asarray, full
from fnn.operations.elementwise import BINARY, UNARY, logical_and, logical_or, logical_xor, truth
from fnn.operations.operands import array_of, axes_of, axis_of, no_out, to_dtype
from fnn.operations.shaping import broadcast_to, concatenate, cut, moveaxis, ravel, stack, to
from fnn.transforms.scan import scan


class ufunc:
    """A function of numbers as one of arrays, element by element, with NumPy's methods for folding one of two arguments.

    func: a function of arrays. nin, nout: how many it takes and returns. identity: what leaves the other argument as it is
    (the result of folding nothing), None if there is none. `frompyfunc` makes one of a function of numbers.

    >>> import fnn.numpy as fnp
    >>> print(fnp.maximum.accumulate(fnp.array([1, 3, 2])))
    [1 3 3]
    """

    def __init__(
        self,
        func: Callable[..., Any],
        /,
        nin: int,
        nout: int,
        *,
        name: str | None = None,
        nargs: int | None = None,
        identity: Any = None,
        call: Callable[..., Any] | None = None,
        reduce: Callable[..., Any] | None = None,
        accumulate: Callable[..., Any] | None = None,
        at: Callable[..., Any] | None = None,
        reduceat: Callable[..., Any] | None = None,
    ):
        functools.update_wrapper(self, func, updated=())
        self._call = func if call is None else call
        self.nin, self.nout, self.identity = operator.index(nin), operator.index(nout), identity
        self.nargs = self.nin if nargs is None else nargs
        self.__name__ = self.__qualname__ = name or getattr(func, "__name__", "ufunc")
        self._reduce, self._accumulate, self._at, self._reduceat = reduce, accumulate, at, reduceat

    def __call__(self, *args: Any, out: None = None, where: None = None) -> Any:
        if out is not None or where is not None:
            what = "out" if out is not None else "where"
            raise UnsupportedError(
                f"{self.__name__}: {what}= is not supported, at {describe(here())}; arrays never change: use "
                "fnn.numpy.where on the result"
            )
        return self._call(*args)

    def __repr__(self) -> str:
        return f"<fnn.numpy.ufunc {self.__name__!r}>"

    def __reduce__(self) -> Any:  # the ones there are go by their names
        return self.__name__ if FOLDED.get(self.__name__) is self else super().__reduce__()

    def __hash__(self) -> int:
        return hash((self._call, self.nin, self.nout))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ufunc) and (self._call, self.nin, self.nout) == (
            other._call,
            other.nin,
            other.nout,
        )

    def _pairs(self, method: str) -> None:
        if self.nin != 2 or self.nout != 1:
            raise ArgumentError(
                f"{self.__name__}.{method} is for functions of two arguments and one result, at {describe(here())}; this one "
                f"has {self.nin} and {self.nout}"
            )

    def reduce(
        self,
        a: Any,
        axis: Any = 0,
        dtype: Any = None,
        out: None = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = None,
    ) -> Any:
        """The elements along an axis (axes in a tuple, None for all) folded, first with second, then with third, ..."""
        self._pairs("reduce")
        no_out(f"{self.__name__}.reduce", out)
        if where is not None and self.identity is None and initial is None:
            raise ArgumentError(
                f"{self.__name__}.reduce: where= needs initial=, as there is no identity, at {describe(here())}"
            )
        if self._reduce is not None:
            return self._reduce(a, axis, dtype, keepdims, initial, where)
        return self._folded(a, axis, dtype, keepdims, initial, where)

    def _folded(self, a: Any, axis: Any, dtype: Any, keepdims: bool, initial: Any, mask: Any) -> Any:
        x = array_of(self.__name__, a)
        x = x if dtype is None else astype(x, dtype)
        shape, rank = aval_of(x).shape, aval_of(x).ndim
        axes = axes_of(self.__name__, axis, rank)
        start = self.identity if initial is None else initial
        lead = [n for d, n in enumerate(shape) if d not in axes]
        count = math.prod([shape[d] for d in axes])
        flat = lambda v: to(moveaxis(v, axes, tuple(range(len(axes)))), (count, *lead))
        x = to_dtype(x, self._result(aval_of(x).dtype))
        lines = flat(x)
        masks = None if mask is None else flat(broadcast_to(truth(asarray(mask)), shape))
        if start is None:
            if not count:
                raise ArgumentError(
                    f"{self.__name__}.reduce of nothing, at {describe(here())}: it has no identity; give initial="
                )
            carry, lines = lines[0], cut(lines, 0, 1, count)
        else:
            carry = full(tuple(lead), start, aval_of(x).dtype)
        target = aval_of(x).dtype

        def step(carry: Any, row: Any) -> Any:
            value, keep = row
            new = to_dtype(self._call(carry, value), target)
            return (new if keep is None else where(keep, new, carry)), None

        done, _ = scan(step, to_dtype(carry, target), (to_dtype(lines, target), masks))
        return to(done, [1 if d in axes else n for d, n in enumerate(shape)]) if keepdims else done

    def _result(self, dtype: Any) -> Any:
        """The dtype that the function of two numbers of a dtype gives."""
        one = full((), 1, dtype)
        return aval_of(self._call(one, one)).dtype

    def accumulate(self, a: Any, axis: int = 0, dtype: Any = None, out: None = None) -> Any:
        """Along an axis, the results of folding the first one, two, three ... elements."""
        self._pairs("accumulate")
        no_out(f"{self.__name__}.accumulate", out)
        if self._accumulate is not None:
            return self._accumulate(a, axis, dtype)
        x = array_of(self.__name__, a)
        x = x if dtype is None else astype(x, dtype)
        target = self._result(aval_of(x).dtype)
        x = to_dtype(x, target)
        place = axis_of(self.__name__, axis, aval_of(x).ndim)
        lines = moveaxis(x, place, 0)
        if not aval_of(lines).shape[0]:
            return x

        def step(carry: Any, row: Any) -> Any:
            new = to_dtype(self._call(carry, row), target)
            return new, new

        _, rows = scan(step, lines[0], cut(lines, 0, 1, aval_of(lines).shape[0]))
        return moveaxis(concatenate([lines[:1], rows], 0), 0, place)

    def outer(self, A: Any, B: Any, /) -> Any:
        """The function of every element of A with every element of B."""
        self._pairs("outer")
        x, y = array_of(self.__name__, A), array_of(self.__name__, B)
        return self._call(to(x, (*aval_of(x).shape, *[1] * aval_of(y).ndim)), y)

    def at(self, a: Any, indices: Any, b: Any = None, /, *, inplace: bool = False) -> Any:
        """A copy of a with the elements at indices replaced by the function of them (and of b), once for every time an index
        occurs. JAX asks for inplace=False, which is all there is."""
        if inplace:
            raise ArgumentError(
                f"{self.__name__}.at: arrays never change, at {describe(here())}; use the copy it returns"
            )
        x = array_of(self.__name__, a)
        if self.nin == 1:
            return IndexUpdateHelper(x)[indices].apply(self._call)
        self._pairs("at")
        if self._at is not None:
            return self._at(x, indices, b)
        return self._each(x, indices, asarray(b))

    def _each(self, x: Any, indices: Any, b: Any) -> Any:
        """One place after the other, since what is written first is read by the next."""
        key = indices if isinstance(indices, tuple) else (indices,)
        numbers = to(arange(aval_of(x).size), aval_of(x).shape)
        places = ravel(numbers[tuple(key)])
        values = ravel(asarray(full(aval_of(numbers[tuple(key)]).shape, 0, aval_of(b).dtype) + b))
        dtype = aval_of(x).dtype

        def step(flat: Any, pair: Any) -> Any:
            place, value = pair
            new = to_dtype(self._call(flat[place], value), dtype)
            return IndexUpdateHelper(flat)[place].set(new), None

        done, _ = scan(step, ravel(x), (places, values))
        return to(done, aval_of(x).shape)

    def reduceat(self, a: Any, indices: Any, axis: int = 0, dtype: Any = None, out: None = None) -> Any:
        """The elements from each index to the next one folded (only the element there where the next is not greater); the
        last one goes to the end. Indices must be known."""
        self._pairs("reduceat")
        no_out(f"{self.__name__}.reduceat", out)
        x = array_of(self.__name__, a)
        place = axis_of(self.__name__, axis, aval_of(x).ndim)
        found = asarray(indices)
        if isinstance(found, Tracer):
            try:
                found = found.concrete("reduceat")
            except ConcretizationError:
                raise ConcretizationError(
                    f"{self.__name__}.reduceat needs known indices, at {describe(here())}; fnn.ops.segment_sum and its kin "
                    "take traced ones"
                ) from None
        starts = [int(i) for i in np.asarray(found).reshape(-1)]
        n = aval_of(x).shape[place]
        ends = [*starts[1:], n]
        parts = [
            self.reduce(cut(x, place, low, high if high > low else low + 1), place, dtype)
            for low, high in zip(starts, ends, strict=True)
        ]
        return stack(parts, place)


def frompyfunc(func: Callable[..., Any], /, nin: int, nout: int, *, identity: Any = None) -> ufunc:
    """A `ufunc` of a function of numbers that fnn can trace."""
    return ufunc(func, nin, nout, identity=identity, call=vectorize(func))


# -- the functions there are ------------------------------------------------------------------------------------------


def _by(reduction: Callable[..., Any], combine: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """The reduction of the name; combine: what puts an initial value to it, if it takes none itself."""

    def reduce(a: Any, axis: Any, dtype: Any, keepdims: bool, initial: Any, mask: Any) -> Any:
        x = array_of("reduce", a)
        x = astype(x, dtype) if dtype is not None else x
        if combine is None:
            return reduction(x, axis, keepdims=keepdims, where=mask, initial=initial)
        out = reduction(x, axis, keepdims=keepdims, where=mask)
        return out if initial is None else combine(out, initial)

    return reduce


def _running(cumulative: Callable[..., Any]) -> Callable[..., Any]:
    return lambda a, axis, dtype: cumulative(a, axis, dtype)


def _written(how: str, change: Callable[[Any], Any] = lambda b: b) -> Callable[..., Any]:
    return lambda x, indices, b: getattr(IndexUpdateHelper(x)[indices], how)(change(asarray(b)))


_FOLDS: dict[str, dict[str, Any]] = {
    "add": {"identity": 0, "reduce": _by(reductions.sum), "accumulate": _running(reductions.cumsum), "at": _written("add")},
    "multiply": {"identity": 1, "reduce": _by(reductions.prod), "accumulate": _running(reductions.cumprod),
                 "at": _written("multiply")},
    "subtract": {"at": _written("add", UNARY["negative"])},
    "maximum": {"reduce": _by(reductions.max_of), "at": _written("max")},
    "minimum": {"reduce": _by(reductions.min_of), "at": _written("min")},
    "logaddexp": {"identity": -np.inf}, "logaddexp2": {"identity": -np.inf},
    "bitwise_and": {"identity": -1}, "bitwise_or": {"identity": 0}, "bitwise_xor": {"identity": 0},
}  # fmt: skip
FOLDED: dict[str, ufunc] = {
    name: ufunc(BINARY[name], 2, 1, name=name, **more) for name, more in _FOLDS.items()
}
FOLDED["logical_and"] = ufunc(logical_and, 2, 1, identity=True, reduce=_by(reductions.all, logical_and))
FOLDED["logical_or"] = ufunc(logical_or, 2, 1, identity=False, reduce=_by(reductions.any, logical_or))
FOLDED["logical_xor"] = ufunc(logical_xor, 2, 1, identity=False)
FOLDED["negative"] = ufunc(UNARY["negative"], 1, 1, name="negative")
