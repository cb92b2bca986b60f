"""Python functions called from within traced and compiled programs: pure_callback, io_callback and what
`fnn.debug` is made of."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fnn import dtypes, tree
from fnn.core.array import Array, ConcreteArray, as_array
from fnn.core.aval import Aval
from fnn.core.lowering import PythonCall
from fnn.core.primitive import Primitive, Sample, registry
from fnn.core.source import describe, function_place, here
from fnn.core.trace import aval_of
from fnn.core.tracebacks import filtered
from fnn.errors import ArgumentError, DifferentiationError, ShapeError, TreeError, UnsupportedError
from fnn.primitives.rules import lift

Mapped = tuple[
    tuple[int, tuple[bool, ...]], ...
]  # per vmap that the callback loops over, outermost first: its
# size, and which operands carry it
METHODS = ("sequential", "sequential_unrolled", "expand_dims", "broadcast_all", "legacy_vectorized")


class Target:
    """A function of the user's, the structure of its arguments, and those of them that are no arrays."""

    __slots__ = ("f", "fixed", "structure", "out", "__name__")

    def __init__(self, f: Callable[..., Any], structure: Any, fixed: dict[int, Any], out: Any):
        self.f, self.structure, self.fixed, self.out = f, structure, fixed, out
        self.__name__ = function_place(f)

    def __call__(self, arrays: Sequence[np.ndarray], results: Sequence[Aval]) -> list[np.ndarray]:
        """Call it once; its results, checked against what was declared."""
        rest = iter(arrays)
        count = len(arrays) + len(self.fixed)
        leaves = [self.fixed[i] if i in self.fixed else _held(next(rest)) for i in range(count)]
        args, kwargs = tree.unflatten(self.structure, leaves)
        found = self.f(*args, **kwargs)
        if self.out is None:
            return []
        values, structure = tree.flatten(found)
        if structure != self.out:
            raise TreeError(
                f"the callback {self.__name__} returned the structure {structure}, but result_shape_dtypes has {self.out}"
            )
        out = []
        for k, (value, aval) in enumerate(zip(values, results, strict=True)):
            array = np.asarray(value)
            if array.shape != aval.shape or (
                array.dtype != aval.dtype and not np.can_cast(array.dtype, aval.dtype, "same_kind")
            ):
                raise ShapeError(
                    f"the callback {self.__name__} returned {array.dtype}{list(array.shape)} for result {k}, which "
                    f"result_shape_dtypes declares to be {aval}"
                )
            out.append(array.astype(aval.dtype, copy=False))
        return out


def _held(value: np.ndarray) -> Array:
    return ConcreteArray(value, Aval(value.shape, value.dtype))


def _call(p: dict[str, Any], arrays: Sequence[Any]) -> list[np.ndarray]:
    """The callback for every element of the batches it loops over, in order."""
    mapped, avals = p["mapped"], p["results"]
    if not mapped:
        return p["target"](arrays, avals)
    sizes = [n for n, _ in mapped]
    outs = [np.zeros((*sizes, *a.shape), a.dtype) for a in avals]
    for index in np.ndindex(*sizes):
        given = []
        for k, x in enumerate(arrays):
            at = tuple([i for i, (_, flags) in zip(index, mapped, strict=True) if flags[k]])
            given.append(np.asarray(x[at], x.dtype) if at else x)
        for out, value in zip(outs, p["target"](given, avals), strict=True):
            out[index] = value
    return outs


def _evaluate(*args: Any, **p: Any) -> list[Any]:
    values = [a.value if type(a) is ConcreteArray else np.asarray(a) for a in args]
    sizes = [n for n, _ in p["mapped"]]
    return [
        ConcreteArray(o, a.update(shape=(*sizes, *a.shape)))
        for o, a in zip(_call(p, values), p["results"], strict=True)
    ]


def _function(p: dict[str, Any]) -> Callable[..., list[np.ndarray]]:
    return lambda *arrays: _call(p, arrays)


def _shape(*avals: Aval, results: tuple[Aval, ...], mapped: Mapped, **_: Any) -> tuple[Aval, ...]:
    sizes = [n for n, _ in mapped]
    return tuple([a.update(shape=(*sizes, *a.shape)) for a in results])


def _batch(primitive: str) -> Callable[..., Any]:
    """The batching rule of the primitive of that name."""

    def batch(frame: Any, flags: Sequence[bool], args: Sequence[Any], p: dict[str, Any]) -> Any:
        method, name = p["method"], p["name"]
        if method is None:
            raise UnsupportedError(
                f"vmap of pure_callback {name}, at {describe(here())}: say how with vmap_method=: 'sequential' calls the "
                "function once for each element; 'expand_dims' and 'broadcast_all' call it once, with a leading axis on "
                "every argument (of size 1 where it is not mapped; of the batch's size)"
            )
        if method == "ordered":
            raise UnsupportedError(
                f"vmap of the ordered io_callback {name}, at {describe(here())}: use fnn.lax.map or scan, which have an order"
            )
        if p["mapped"] or method.startswith("sequential"):
            outer = (frame.size, tuple(flags))
            outs = registry[primitive](*args, **{**p, "mapped": (outer, *p["mapped"])})
        else:
            if method == "broadcast_all":
                args = [lift(frame.size, a, f) for a, f in zip(args, flags, strict=True)]
            elif method == "expand_dims":
                args = [a if f else lift(1, a, False) for a, f in zip(args, flags, strict=True)]
            results = tuple([a.update(shape=(frame.size, *a.shape)) for a in p["results"]])
            outs = registry[primitive](*args, **{**p, "results": results})
        return outs, [True] * len(outs)

    return batch


def _refuse(*_: Any) -> Any:
    raise DifferentiationError(
        f"a callback has no derivative, at {describe(here())}: wrap it with fnn.custom_jvp or fnn.custom_vjp, or stop the "
        "derivative with fnn.lax.stop_gradient on its arguments"
    )


def _samples(results: bool = True) -> list[Sample]:
    """sin, in NumPy."""
    structure, out = tree.structure(((0.0,), {})), tree.structure(0.0)
    cases = []
    for n in (3, 0):
        avals = (Aval((n,), np.dtype("float32")),) if results else ()
        target = Target(np.sin, structure, {}, out if results else None)
        params = {"target": target, "results": avals, "mapped": (), "method": "sequential", "name": "sin"}
        cases.append(Sample((f"f4[{n}]",), params, differentiate=False))
    return cases


def _primitive(
    name: str, effect: bool, jvp: Callable[..., Any], vjp: Callable[..., Any], samples: Any
) -> Primitive:
    return Primitive(
        name,
        multiple=True,
        shape=_shape,
        prepare=lambda args, params: (
            params
        ),  # it holds a function, which is simply called where nothing is traced
        evaluate=_evaluate,
        jvp=jvp,
        vjp=vjp,
        batch=_batch(name),
        lower=PythonCall(_function),
        samples=samples,
        effect=(lambda params: True) if effect else None,
    )


pure_callback_p = _primitive("pure_callback", False, _refuse, _refuse, _samples)
io_callback_p = _primitive("io_callback", True, _refuse, _refuse, _samples)
debug_callback_p = _primitive(
    "debug_callback",
    True,
    lambda primals, tangents, p: (debug_callback_p(*primals, **p), []),
    lambda needs, args, p: (debug_callback_p(*args, **p), None, []),
    lambda: _samples(results=False),
)


# -- what people call ----------------------------------------------------------------------------------------


def _bind(
    primitive: Primitive,
    f: Callable[..., Any],
    results: Any,
    method: str | None,
    args: tuple,
    kwargs: dict[str, Any],
) -> Any:
    """Call or record the callback. results: None, or a pytree of what has a shape and a dtype."""
    what = primitive.name
    if not callable(f):
        raise ArgumentError(f"{what} takes a function, not {type(f).__name__}, at {describe(here())}")
    leaves, structure = tree.flatten((args, kwargs))
    dynamic: list[Any] = []
    fixed: dict[int, Any] = {}
    for i, leaf in enumerate(leaves):
        try:
            dynamic.append(as_array(leaf))
        except ArgumentError:
            fixed[i] = leaf
    avals: tuple[Aval, ...] = ()
    out = None
    if results is not None:
        declared, out = tree.flatten(results)
        avals = tuple([_declared(what, a) for a in declared])
    target = Target(f, structure, fixed, out)
    outs = primitive(
        *dynamic,
        target=target,
        results=avals,
        mapped=(),
        method=method,
        name=getattr(f, "__name__", type(f).__name__),
    )
    return None if out is None else tree.unflatten(out, outs)


def _declared(what: str, x: Any) -> Aval:
    if isinstance(x, (bool, int, float, complex, Array)):
        return aval_of(as_array(x)).strong()
    try:
        return Aval(tuple(x.shape), dtypes.as_dtype(x.dtype))
    except AttributeError:
        raise ArgumentError(
            f"{what}: result_shape_dtypes holds {x!r}, which has no shape and dtype; use fnn.ShapeDtypeStruct, at "
            f"{describe(here())}"
        ) from None


@filtered
def pure_callback(
    callback: Callable[..., Any],
    result_shape_dtypes: Any,
    *args: Any,
    sharding: Any = None,
    vmap_method: str | None = None,
    vectorized: bool | None = None,
    **kwargs: Any,
) -> Any:
    """callback(*args, **kwargs), a Python function without side effects, from within any transformation but
    differentiation (wrap it with custom_jvp or custom_vjp).

    It is given arrays in the place of traced ones, and returns a pytree of arrays with the shapes and dtypes of
    result_shape_dtypes (arrays, or `fnn.ShapeDtypeStruct`). How often it runs is not defined: its results may be
    dropped or shared. vmap_method: "sequential" (once for each element), "expand_dims" or "broadcast_all" (once, with
    a leading axis on all arguments and results, of size 1 or the batch's where an argument is not mapped),
    "legacy_vectorized" (once, unmapped arguments as they are). Raises TreeError or ShapeError where the results are
    not what was declared; what the function raises comes out of the compiled program.

    >>> import fnn, numpy as np
    >>> f = fnn.jit(lambda x: fnn.pure_callback(np.sort, fnn.ShapeDtypeStruct((3,), "float32"), x))
    >>> print(f(np.float32([3, 1, 2])))
    [1. 2. 3.]
    """
    if vectorized is not None:
        vmap_method = "legacy_vectorized" if vectorized else "sequential"
    if vmap_method is not None and vmap_method not in METHODS:
        raise ArgumentError(
            f"pure_callback: vmap_method is {vmap_method!r}; it is one of {', '.join(METHODS)}"
        )
    return _bind(pure_callback_p, callback, result_shape_dtypes, vmap_method, args, kwargs)


@filtered
def io_callback(
    callback: Callable[..., Any],
    result_shape_dtypes: Any,
    *args: Any,
    sharding: Any = None,
    ordered: bool = False,
    **kwargs: Any,
) -> Any:
    """callback(*args, **kwargs), a Python function that may have side effects: it runs exactly once each time the
    program comes to it, in the program's order, even if nobody uses its results.

    Arguments and results as of `pure_callback`. vmap calls it for each element in turn; an ordered one refuses vmap.

    >>> import fnn
    >>> seen = []
    >>> f = fnn.jit(lambda x: fnn.io_callback(lambda v: seen.append(float(v)), None, x, ordered=True))
    >>> f(1.0), f(2.0), seen
    (None, None, [1.0, 2.0])
    """
    if result_shape_dtypes is None:
        _bind(io_callback_p, _nothing(callback), None, "ordered" if ordered else "sequential", args, kwargs)
        return None
    return _bind(
        io_callback_p, callback, result_shape_dtypes, "ordered" if ordered else "sequential", args, kwargs
    )


def _nothing(f: Callable[..., Any]) -> Callable[..., None]:
    @functools.wraps(f)
    def call(*args: Any, **kwargs: Any) -> None:
        f(*args, **kwargs)

    return call


def debug_callback(
    callback: Callable[..., Any], *args: Any, ordered: bool = False, partitioned: bool = False, **kwargs: Any
) -> None:
    """`fnn.debug.callback`."""
    _bind(debug_callback_p, callback, None, "sequential", args, kwargs)


def effects_barrier() -> None:
    """Wait until the callbacks of all programs have run: they have when a program returns, so there is nothing to
    wait for."""
