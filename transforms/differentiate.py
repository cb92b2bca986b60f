"""What people call to differentiate: grad, value_and_grad, vjp, jvp, linearize, linear_transpose."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fnn import dtypes, tree
from fnn import primitives as P
from fnn.core.array import Array, ConcreteArray
from fnn.core.aval import Aval
from fnn.core.ir import Graph, Var
from fnn.core.source import function_place
from fnn.core.trace import aval_of
from fnn.core.tracebacks import filtered
from fnn.errors import ArgumentError, DifferentiationError, MismatchError, TreeError
from fnn.transforms.autodiff import fill, jvp_flat, vjp_flat
from fnn.transforms.calls import staged
from fnn.transforms.flattening import (
    abstract,
    argument_name,
    chosen_name,
    fits,
    flat_call,
    flatten_arguments,
    flatten_result,
    from_float0,
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
    if type(primals) is not type(tangents):
        raise TreeError(
            f"jvp of {function_place(fun)}: primals are a {type(primals).__name__}, tangents a {type(tangents).__name__}"
        )
    leaves, structure = flatten_arguments("jvp", tuple(primals))
    directions, same = flatten_arguments("jvp", tree.map(from_float0, tuple(tangents)))
    if structure != same:
        raise TreeError(
            f"jvp of {function_place(fun)}: primals and tangents differ in structure: {structure} and {same}"
        )
    for i, (x, t) in enumerate(zip(leaves, directions, strict=True)):
        if x.aval.shape != t.aval.shape or (x.aval.is_inexact and not fits(t.aval, x.aval)):
            raise MismatchError(
                f"jvp of {function_place(fun)}: the tangent of {argument_name(tuple(primals), i)} is "
                f"{t.aval}, but the primal is {x.aval}; they must agree"
            )
    aux = Aux()
    flat, box = flat_call(aux.without(fun) if has_aux else fun, structure, "jvp")
    outs, out_tangents = jvp_flat(
        aux.with_tail(flat),
        leaves,
        [_cast(t, x.aval) if x.aval.is_inexact else None for x, t in zip(leaves, directions, strict=True)],
    )
    size = box[0].num_leaves
    out = tree.unflatten(box[0], outs[:size])
    pairs = zip(outs[:size], out_tangents[:size], strict=True)
    tangent = tree.unflatten(box[0], [_tangent(t, aval_of(o)) for o, t in pairs])
    return (out, tangent, aux.result(outs[size:])) if has_aux else (out, tangent)


def _cast(ct: Any, aval: Aval) -> Any:
    return ct if aval_of(ct).dtype == aval.dtype else P.convert(ct, dtype=aval.dtype)


def _tangent(t: Any, aval: Aval) -> Any:
    return np.zeros(aval.shape, dtypes.float0) if not aval.is_inexact else fill(t, aval)


def _derivative(ct: Any, aval: Aval) -> Any:
    """A derivative in an argument, of the argument's type: weak in a Python number."""
    ct = _tangent(ct, aval)
    return P.convert(ct, dtype=aval.dtype, weak=True) if aval.weak_type and aval.is_inexact else ct


class Aux:
    """What a function returns beside its value: arrays pass through the trace, anything else as it is."""

    __slots__ = ("arrays", "leaves", "structure")

    def __init__(self) -> None:
        self.arrays: list[Any] = []

    def without(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """f's first result; the second is kept."""

        @functools.wraps(f)
        def first(*args: Any, **kwargs: Any) -> Any:
            out = f(*args, **kwargs)
            if not isinstance(out, (tuple, list)) or len(out) != 2:
                raise ArgumentError(
                    f"has_aux: {function_place(f)} must return a pair (value, aux), not {type(out).__name__}"
                )
            self.leaves, self.structure = tree.flatten(out[1])
            self.arrays = [x for x in self.leaves if isinstance(x, Array)]
            return out[0]

        return first

    def with_tail(self, flat: Callable[..., list]) -> Callable[..., list]:
        """flat's results followed by the arrays kept."""
        return lambda *xs: [*flat(*xs), *self.arrays]

    def result(self, tail: Sequence[Any]) -> Any:
        """The second result, of arrays that have left the trace."""
        values = iter(tail)
        return tree.unflatten(
            self.structure, [next(values) if isinstance(x, Array) else x for x in self.leaves]
        )


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
    aux = Aux()
    flat, box = flat_call(aux.without(fun) if has_aux else fun, structure, "vjp")
    outs, pull_flat = vjp_flat(aux.with_tail(flat), leaves, [a.is_inexact for a in avals])
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
            if have.shape != a.shape or not fits(have, a):
                where = argument_name((ct,), i).removeprefix("args[0]")
                raise MismatchError(
                    f"vjp of {function_place(fun)}: the cotangent{where} is {have}, but the result is {a}; "
                    "they must agree in shape and dtype"
                )
            good.append(_cast(c, a))
        found = pull_flat([*good, *[None] * len(tail)])
        return tree.unflatten(structure, [_derivative(c, a) for c, a in zip(found, avals, strict=True)])

    out = tree.unflatten(box[0], outs)
    return (out, pull, aux.result(tail)) if has_aux else (out, pull)


_LEAF = tree.structure(0.0)


def argument_numbers(what: str, argnums: int | Sequence[int]) -> tuple[tuple[int, ...], bool]:
    """(the numbers of `argnums`, whether it was one number and no sequence)."""
    try:
        return (operator.index(argnums),), True  # type: ignore[arg-type]  # refused below
    except TypeError:
        pass
    try:
        return tuple(map(operator.index, argnums)), False  # type: ignore[arg-type]  # refused here
    except TypeError:
        raise ArgumentError(
            f"{what}: argnums is an integer or a sequence of integers, not {argnums!r}"
        ) from None


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
    numbers, single = argument_numbers("grad", argnums)

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
        aux = Aux()
        inner = aux.without(fun) if has_aux else fun

        def flat(*xs: Any) -> list:
            full = list(args)
            for i, part in zip(places, tree.unflatten(structure, xs), strict=True):
                full[i] = part
            results, form = flatten_result("grad", fun, inner(*full, **kwargs))
            if form != _LEAF:
                hint = "; return (loss, the rest) and pass has_aux=True" if len(results) > 1 else ""
                raise DifferentiationError(
                    f"grad of {function_place(fun)} needs a scalar result, got {form} of {len(results)} arrays{hint}"
                )
            (value,) = results
            aval = value.aval
            if aval.shape or not (dtypes.is_complex(aval.dtype) if holomorphic else aval.is_float):
                hint = (
                    "; reduce it to one number (fnn.numpy.sum, mean), or use vjp or jacrev"
                    if aval.shape and aval.is_inexact
                    else "; with holomorphic=True the result is complex"
                    if holomorphic
                    else "; take its real or imaginary part or its abs, or pass holomorphic=True"
                    if dtypes.is_complex(aval.dtype)
                    else "; gradients are of floating-point numbers"
                )
                raise DifferentiationError(
                    f"grad of {function_place(fun)} needs a scalar result, got {aval}{hint}"
                )
            return [value]

        outs, pull = vjp_flat(aux.with_tail(flat), leaves, needs)
        value = outs[0]
        one = _one(aval_of(value).dtype)
        cts = pull([one] + [None] * (len(outs) - 1), once=True)
        grads = tree.unflatten(structure, [_derivative(c, x.aval) for c, x in zip(cts, leaves, strict=True)])
        return ((value, aux.result(outs[1:])) if has_aux else value), grads[0] if single else grads

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

    f runs once; the derivative may be called many times. Computed as the reverse walk of the reverse walk, which is linear
    in its cotangent; where f has no reverse mode, forwards, running f at each call.

    >>> import fnn
    >>> y, slope = fnn.linearize(lambda x: x * x, 3.0)
    >>> print(y, slope(1.0), slope(2.0))
    9.0 6.0 12.0
    """
    try:
        return _linearized_backwards(fun, primals, has_aux)
    except (
        Exception
    ):  # no reverse mode: a while loop, a library's refusal. A mistake of f's own is raised again below
        out, _, *aux = jvp(fun, primals, tree.map(lambda x: _tangent(None, abstract(x)), primals), has_aux)
        return (out, lambda *given: jvp(fun, primals, given, has_aux)[1], *aux)


def _linearized_backwards(fun: Callable[..., Any], primals: tuple, has_aux: bool) -> Any:
    out, pull, *aux = vjp(fun, *primals, has_aux=has_aux)
    leaves, out_structure = tree.flatten(out)
    places = [i for i, o in enumerate(leaves) if aval_of(o).is_inexact]
    needs = [abstract(x) for x in tree.leaves(primals)]

    def pulled(cts: list[Any]) -> list[Any]:
        """Cotangents of the floating-point results to those of the floating-point arguments."""
        full: list[Any] = [np.zeros(aval_of(o).shape, dtypes.float0) for o in leaves]
        for i, ct in zip(places, cts, strict=True):
            full[i] = ct
        found = tree.leaves(pull(tree.unflatten(out_structure, full)))
        return [c for c, a in zip(found, needs, strict=True) if a.is_inexact]

    _, forward = vjp(pulled, [_tangent(None, aval_of(leaves[i])) for i in places])

    def linear(*tangents: Any) -> Any:
        have, want = tree.structure(tangents), tree.structure(primals)
        if have != want:
            raise TreeError(f"linearize: tangents have structure {have}, the primals {want}")
        given = []
        for i, (t, a) in enumerate(zip(tree.leaves(tangents), needs, strict=True)):
            if not a.is_inexact:
                continue
            aval = abstract(t)
            if aval.shape != a.shape or not fits(aval, a):
                raise MismatchError(
                    f"linearize of {function_place(fun)}: the tangent of {argument_name(primals, i)} is {aval}, but the "
                    f"primal is {a}; they must agree"
                )
            given.append(t)
        results: list[Any] = [np.zeros(aval_of(o).shape, dtypes.float0) for o in leaves]
        for i, t in zip(places, forward(given)[0], strict=True):
            results[i] = _derivative(t, aval_of(leaves[i]))
        return tree.unflatten(out_structure, results)

    return (out, linear, *aux)


def linear_transpose(fun: Callable[..., Any], *primals: Any) -> Callable[[Any], tuple]:
    """The transpose of a linear function: a function from cotangents of f's result to a tuple of cotangents.

    primals give shapes and dtypes only (arrays or ShapeDtypeStruct). Raises DifferentiationError where f is not linear
    (its derivative depends on where it is taken) or an argument is not floating point.

    >>> import fnn
    >>> back = fnn.linear_transpose(lambda x: 3.0 * x, 1.0)
    >>> print(*back(2.0))
    6.0
    """
    avals = tree.map(abstract, primals)
    for i, a in enumerate(tree.leaves(avals)):
        if not a.is_inexact:
            raise DifferentiationError(
                f"linear_transpose of {function_place(fun)} needs floating-point arguments, but "
                f"{argument_name(primals, i)} is {a}"
            )

    def pulled(xs: Any) -> list[Any]:
        out, pull = vjp(fun, *xs)
        return tree.leaves(pull(tree.map(lambda o: _tangent(None, aval_of(o)), out)))

    leaves, structure = tree.flatten((avals,))
    graph, _, _ = staged(pulled, structure, leaves)
    if _depends(graph, len(leaves)):
        raise DifferentiationError(
            f"linear_transpose of {function_place(fun)}: it is not linear; its derivative depends on its arguments"
        )
    _, pull = vjp(fun, *tree.map(P.zeros, avals))
    return pull


def _depends(graph: Graph, count: int) -> bool:
    """Whether a result of a graph depends on one of its first `count` inputs."""
    reached = set(graph.inputs[:count])
    for e in graph.equations:
        if any(x in reached for x in e.inputs if isinstance(x, Var)):
            reached.update(e.outputs)
    return any(x in reached for x in graph.outputs if isinstance(x, Var))
