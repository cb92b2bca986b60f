"""What people call to differentiate: grad, value_and_grad, vjp, jvp, linearize, linear_transpose."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fnn import dtypes, tree
from fnn import primitives as P
from fnn.core.array import ConcreteArray
from fnn.core.aval import Aval
from fnn.core.source import function_place
from fnn.core.trace import aval_of
from fnn.core.tracebacks import filtered
from fnn.errors import ArgumentError, DifferentiationError, TreeError
from fnn.transforms.autodiff import fill, jvp_flat, vjp_flat
from fnn.transforms.flattening import (
    abstract,
    argument_name,
    chosen_name,
    flat_call,
    flatten_arguments,
    flatten_result,
)


@filtered
def jvp(
    fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False
) -> Any:
    """(f(*primals), its derivative along tangents): forward mode.

    primals and tangents are tuples of pytrees of the same structure, shapes and dtypes (the tangents of integers
    are of any dtype, such as `float0`: they are ignored). With has_aux, f
    returns (value, aux) and so does the result: (value, tangent, aux). Raises TreeError where structures
    differ.

    >>> import fnn, fnn.numpy as fnp
    >>> value, slope = fnn.jvp(lambda x: x * x, (3.0,), (1.0,))
    >>> print(value, slope)
    9.0 6.0
    """
    if not isinstance(primals, (tuple, list)) or not isinstance(tangents, (tuple, list)):
        raise ArgumentError(
            "jvp: primals and tangents are tuples of arguments: jvp(f, (x,), (t,)); "
            f"got {type(primals).__name__} and {type(tangents).__name__}"
        )
    leaves, structure = flatten_arguments("jvp", tuple(primals))
    directions, same = flatten_arguments("jvp", tree.map(_from_float0, tuple(tangents)))
    if structure != same:
        raise TreeError(
            f"jvp of {function_place(fun)}: primals and tangents differ in structure: {structure} and {same}"
        )
    for i, (x, t) in enumerate(zip(leaves, directions, strict=True)):
        if x.aval.shape != t.aval.shape or (
            x.aval.dtype != t.aval.dtype and x.aval.is_inexact and not t.aval.weak_type
        ):
            raise DifferentiationError(
                f"jvp of {function_place(fun)}: the tangent of {argument_name(tuple(primals), i)} is "
                f"{t.aval}, but the primal is {x.aval}; they must agree"
            )
    kept: list[Any] = []
    flat, box = flat_call(_without_aux(fun, kept) if has_aux else fun, structure, "jvp")
    lines = [
        P.convert(t, dtype=x.aval.dtype) if x.aval.is_inexact and t.aval.dtype != x.aval.dtype else t
        for x, t in zip(leaves, directions, strict=True)
    ]
    outs, out_tangents = jvp_flat(
        _with_tail(flat, kept),
        leaves,
        [t if x.aval.is_inexact else None for x, t in zip(leaves, lines, strict=True)],
    )
    size = box[0].num_leaves
    out = tree.unflatten(box[0], outs[:size])
    pairs = zip(outs[:size], out_tangents[:size], strict=True)
    tangent = tree.unflatten(box[0], [_tangent(t, aval_of(o)) for o, t in pairs])
    return (out, tangent, tree.unflatten(kept[1], outs[size:])) if has_aux else (out, tangent)


def _from_float0(t: Any) -> Any:
    """The tangent of an integer or a boolean, which holds nothing, as an array that may be passed on."""
    return np.zeros(np.shape(t), bool) if getattr(t, "dtype", None) == dtypes.float0 else t


def _tangent(t: Any, aval: Aval) -> Any:
    return np.zeros(aval.shape, dtypes.float0) if not aval.is_inexact else fill(t, aval)


def _without_aux(f: Callable[..., Any], kept: list[Any]) -> Callable[..., Any]:
    """f's first result; the leaves and the structure of the second are left in `kept`."""

    @functools.wraps(f)
    def first(*args: Any, **kwargs: Any) -> Any:
        out = f(*args, **kwargs)
        if not isinstance(out, tuple) or len(out) != 2:
            raise ArgumentError(
                f"has_aux: {function_place(f)} must return a pair (value, aux), not {type(out).__name__}"
            )
        kept[:] = flatten_result("has_aux", f, out[1])
        return out[0]

    return first


def _with_tail(flat: Callable[..., list], kept: list[Any]) -> Callable[..., list]:
    """flat's results followed by the leaves left in `kept`: they pass through the trace as its outputs do."""

    def both(*xs: Any) -> list:
        outs = flat(*xs)
        return [*outs, *kept[0]] if kept else outs

    return both


@filtered
def vjp(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """(f(*primals), pull): pull maps a cotangent of the result to a tuple of cotangents of the arguments.

    pull may be called any number of times. Arguments that are not floating point get cotangents of dtype
    float0. Raises TreeError or DifferentiationError where a cotangent does not fit the result.

    >>> import fnn
    >>> y, pull = fnn.vjp(lambda x, w: x * w, 3.0, 4.0)
    >>> print(y, *pull(1.0))
    12.0 4.0 3.0
    """
    leaves, structure = flatten_arguments("vjp", primals)
    avals = [x.aval for x in leaves]
    kept: list[Any] = []
    flat, box = flat_call(_without_aux(fun, kept) if has_aux else fun, structure, "vjp")
    outs, pull_flat = vjp_flat(_with_tail(flat, kept), leaves, [a.is_inexact for a in avals])
    size = box[0].num_leaves
    outs, tail = outs[:size], outs[size:]
    out_avals = [aval_of(o) for o in outs]

    def pull(ct: Any) -> tuple:
        cts, same = flatten_arguments("vjp's pull", ct) if not _has_float0(ct) else _flatten_float0(ct)
        if same != box[0]:
            raise TreeError(
                f"vjp of {function_place(fun)}: the cotangent has structure {same}, the result {box[0]}"
            )
        good: list[Any] = []
        for i, (c, a) in enumerate(zip(cts, out_avals, strict=True)):
            if c is None or not a.is_inexact:
                good.append(None)
                continue
            have = aval_of(c)
            if have.shape != a.shape or (have.dtype != a.dtype and not have.weak_type):
                where = argument_name((ct,), i).removeprefix("args[0]")
                raise DifferentiationError(
                    f"vjp of {function_place(fun)}: the cotangent{where} is {have}, but the result is {a}; "
                    "they must agree in shape and dtype"
                )
            good.append(c if have.dtype == a.dtype else P.convert(c, dtype=a.dtype))
        found = pull_flat([*good, *[None] * len(tail)])
        return tree.unflatten(structure, [_tangent(c, a) for c, a in zip(found, avals, strict=True)])

    out = tree.unflatten(box[0], outs)
    return (out, pull, tree.unflatten(kept[1], tail)) if has_aux else (out, pull)


@functools.cache
def _one(dtype: np.dtype) -> ConcreteArray:
    return ConcreteArray(np.ones((), dtype), Aval((), dtype))


def _has_float0(ct: Any) -> bool:
    return any(getattr(x, "dtype", None) == dtypes.float0 for x in tree.leaves(ct))


def _flatten_float0(ct: Any) -> tuple[list[Any], Any]:
    leaves, structure = tree.flatten(ct)
    return [None if getattr(x, "dtype", None) == dtypes.float0 else x for x in leaves], structure


def value_and_grad(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Callable[..., Any]:
    """A function returning (f(...), the gradient of the scalar f in the arguments numbered by argnums).

    Arguments are pytrees of real or complex arrays; the gradient has their structure. With has_aux, f returns
    (value, aux) and the first result is that pair. Python control flow on values works, unless under jit.
    In a complex argument z = x + iy the gradient of a real f is df/dx - i df/dy (its conjugate is the direction of
    steepest ascent); with holomorphic, f is a complex-differentiable function of complex arguments, and the result
    its complex derivative. Raises DifferentiationError for an argument that is not floating point (unless allow_int:
    its gradient is of dtype float0), for a result that is not one number, and for one that is not real (with
    holomorphic: not complex).

    >>> import fnn
    >>> value, slope = fnn.value_and_grad(lambda x: x * x)(3.0)
    >>> print(value, slope)
    9.0 6.0
    """
    if not callable(fun):
        raise ArgumentError(
            f"grad and value_and_grad take a function, not {type(fun).__name__}: write grad(loss)(x), where "
            "loss is the function itself, not its result"
        )
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    @functools.wraps(fun)
    @filtered
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        for i in numbers:
            if not -len(args) <= i < len(args):
                raise ArgumentError(
                    f"grad of {function_place(fun)}: argnums has {i}, but the call has {len(args)} positional "
                    "argument(s); arguments passed by name cannot be differentiated"
                )
        places = [i % len(args) for i in numbers]
        chosen = tuple(args[i] for i in places)
        leaves, structure = flatten_arguments("grad", chosen, lambda i: chosen_name(chosen, places, i))
        for i, x in enumerate(leaves):
            if holomorphic and not dtypes.is_complex(x.aval.dtype):
                raise DifferentiationError(
                    f"grad of {function_place(fun)} with holomorphic=True needs complex arguments, but "
                    f"{chosen_name(chosen, places, i)} is {x.aval}"
                )
            if not x.aval.is_inexact and not allow_int:
                raise DifferentiationError(
                    f"grad of {function_place(fun)} needs floating-point arguments, but {chosen_name(chosen, places, i)} is "
                    f"{x.aval}. Convert it with .astype(fnn.numpy.float32), choose other arguments with argnums, or pass "
                    "it through a closure."
                )
        needs = [x.aval.is_inexact for x in leaves]
        kept: list[Any] = []
        inner = _without_aux(fun, kept) if has_aux else fun

        def flat(*xs: Any) -> list:
            full = list(args)
            for i, part in zip(places, tree.unflatten(structure, xs), strict=True):
                full[i] = part
            (value, *more), _ = flatten_result("grad", fun, inner(*full, **kwargs))
            aval = value.aval
            if more or aval.shape or not (dtypes.is_complex(aval.dtype) if holomorphic else aval.is_float):
                what = f"{1 + len(more)} arrays" if more else str(aval)
                hint = (
                    "; reduce it to one number (fnn.numpy.sum, mean), or use vjp or jacrev"
                    if aval.shape and aval.is_inexact
                    else "; with holomorphic=True the result is complex"
                    if holomorphic
                    else "; take its real or imaginary part or its abs, or pass holomorphic=True"
                    if dtypes.is_complex(aval.dtype)
                    else "; gradients are of floating-point numbers"
                )
                hint = "; return (loss, the rest) and pass has_aux=True" if more else hint
                raise DifferentiationError(
                    f"grad of {function_place(fun)} needs a scalar result, got {what}{hint}"
                )
            return [value]

        outs, pull = vjp_flat(_with_tail(flat, kept), leaves, needs)
        value = outs[0]
        one = _one(aval_of(value).dtype)
        cts = pull([one] + [None] * (len(outs) - 1), once=True)
        grads = tree.unflatten(structure, [_tangent(c, x.aval) for c, x in zip(cts, leaves, strict=True)])
        grads = grads[0] if isinstance(argnums, int) else grads
        return ((value, tree.unflatten(kept[1], outs[1:])) if has_aux else value), grads

    return wrapped


def grad(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Callable[..., Any]:
    """The gradient of a function with a scalar result, in the arguments numbered by argnums.

    As value_and_grad, without the value: the result is the gradient, or (gradient, aux) with has_aux.

    >>> import fnn
    >>> print(fnn.grad(lambda x: x ** 3)(2.0), fnn.grad(fnn.grad(lambda x: x ** 3))(2.0))
    12.0 12.0
    """
    both = value_and_grad(fun, argnums, has_aux, holomorphic, allow_int)

    @functools.wraps(fun)
    @filtered
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        value, grads = both(*args, **kwargs)
        return (grads, value[1]) if has_aux else grads

    return wrapped


@filtered
def linearize(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """(f(*primals), its derivative there as a linear function of tangents, and, with has_aux, f's other result).

    f runs once; the derivative may be called many times. Computed as the reverse walk of the reverse walk,
    which is linear in its cotangent.

    >>> import fnn
    >>> y, slope = fnn.linearize(lambda x: x * x, 3.0)
    >>> print(y, slope(1.0), slope(2.0))
    9.0 6.0 12.0
    """
    out, pull, *aux = vjp(fun, *primals, has_aux=has_aux)
    _, forward = vjp(pull, tree.map(lambda o: _tangent(None, aval_of(o)), out))

    def linear(*tangents: Any) -> Any:
        have, want = tree.structure(tangents), tree.structure(primals)
        if have != want:
            raise TreeError(f"linearize: tangents have structure {have}, the primals {want}")
        return forward(tangents)[0]

    return (out, linear, *aux)


def linear_transpose(fun: Callable[..., Any], *primals: Any) -> Callable[[Any], tuple]:
    """The transpose of a linear function: a function from cotangents of f's result to a tuple of cotangents.

    primals give shapes and dtypes only (arrays or ShapeDtypeStruct).

    >>> import fnn
    >>> back = fnn.linear_transpose(lambda x: 3.0 * x, 1.0)
    >>> print(*back(2.0))
    6.0
    """
    zeros = tree.map(lambda x: P.zeros(abstract(x)), primals)
    _, pull = vjp(fun, *zeros)
    return pull
