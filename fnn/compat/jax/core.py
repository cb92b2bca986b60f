"""`jax.core` and its relatives, as far as libraries use them: types, tracers and the names of graphs."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fnn import sharding as _sharding
from fnn import tree
from fnn.core.aval import Aval
from fnn.core.ir import Equation as JaxprEqn
from fnn.core.ir import Graph, Literal, Var
from fnn.core.source import describe, here
from fnn.core.trace import Trace, Tracer, ensure_compile_time_eval, state
from fnn.dtypes import float0, is_inexact
from fnn.errors import UnsupportedError
from fnn.transforms.flattening import ShapeDtypeStruct, abstract
from fnn.transforms.shapes import traced_call

Atom = Var | Literal
AbstractValue = (Aval, ShapeDtypeStruct)
Value = Any
safe_map = lambda f, *args: list(map(f, *args))
safe_zip = lambda *args: list(zip(*args, strict=True))


class ShapedArray(ShapeDtypeStruct):
    """The type of an array: shape, dtype, whether a Python number made it, and how it lies on devices."""

    vma: frozenset[Any] = frozenset()
    without: Any = None  # the dtype, where there are no such arrays: float0

    def __init__(
        self, shape: Sequence[int], dtype: Any, weak_type: bool = False, *, sharding: Any = None, **_: Any
    ):
        unreal = dtype == float0
        super().__init__(
            shape, bool if unreal else dtype, weak_type=weak_type, sharding=sharding or _sharding.SINGLE
        )
        if unreal:
            self.without = float0

    @property
    def dtype(self) -> Any:
        return self.without or self.aval.dtype

    def update(self, **changes: Any) -> ShapedArray:
        """A copy with other fields."""
        fields = {
            "shape": self.shape,
            "dtype": self.dtype,
            "weak_type": self.weak_type,
            "sharding": self.sharding,
        }
        return ShapedArray(**{**fields, **changes})

    def strip_weak_type(self) -> ShapedArray:
        return self.update(weak_type=False)

    def to_tangent_aval(self) -> ShapedArray:
        """The type of its tangents: float0 where there are none."""
        return self.update(dtype=self.dtype if is_inexact(self.dtype) else float0)

    at_least_vspace = to_tangent_aval

    def str_short(self, short_dtypes: bool = False) -> str:
        """Such as "f32[2,3]"."""
        return repr(self.aval) if short_dtypes else f"{self.dtype}[{','.join(map(str, self.shape))}]"

    def __repr__(self) -> str:
        return f"ShapedArray({self.str_short()}{', weak_type=True' if self.weak_type else ''})"


def get_aval(x: Any) -> ShapedArray:
    """The type of an array, a number or a type."""
    aval = x if isinstance(x, Aval) else abstract(x)
    return ShapedArray(aval.shape, aval.dtype, aval.weak_type)


def raise_to_shaped(aval: Any, weak_type: bool | None = None) -> ShapedArray:
    """The type itself."""
    return get_aval(aval)


shaped_abstractify = get_aval


def mapped_aval(size: int, axis: int | None, aval: Any) -> ShapedArray:
    """The type of an element along an axis."""
    shape = tuple(aval.shape)
    return get_aval(aval).update(shape=shape if axis is None else shape[:axis] + shape[axis + 1 :])


def unmapped_aval(size: int, axis: int | None, aval: Any, *_: Any) -> ShapedArray:
    """The type of a stack of elements."""
    shape = tuple(aval.shape)
    return get_aval(aval).update(shape=shape if axis is None else (*shape[:axis], size, *shape[axis:]))


class _WithConstants(Graph):
    """A graph whose first inputs are what the traced function closed over."""

    __slots__ = ("constants",)

    def __init__(self, constants: Sequence[Var], inputs: Sequence[Var], outputs: Any, equations: Any):
        super().__init__([*constants, *inputs], outputs, equations)
        self.constants = len(constants)

    @property
    def constvars(self) -> tuple[Var, ...]:
        return self.inputs[: self.constants]

    @property
    def invars(self) -> tuple[Var, ...]:
        return self.inputs[self.constants :]


def with_constants(graph: Graph, count: int) -> Graph:
    """A graph whose last inputs, so many, come first, as its constants."""
    cut = len(graph.inputs) - count
    return _WithConstants(graph.inputs[cut:], graph.inputs[:cut], graph.outputs, graph.equations)


class _Graphs(type):
    def __instancecheck__(cls, x: object) -> bool:
        return isinstance(x, Graph)

    def __call__(
        cls,
        constvars: Sequence[Var],
        invars: Sequence[Var],
        outvars: Sequence[Atom],
        eqns: Sequence[Any],
        *_: Any,
        **__: Any,
    ) -> Graph:
        return _WithConstants(constvars, invars, outvars, eqns)


class Jaxpr(metaclass=_Graphs):
    """A graph of fnn's: every one is an instance. Made from constants, inputs, results and equations."""


class ClosedJaxpr:
    """A graph with the values of its constants."""

    def __init__(self, jaxpr: Graph, consts: Sequence[Any]):
        self.jaxpr, self.consts = jaxpr, list(consts)

    literals = property(lambda self: self.consts)
    in_avals = property(lambda self: [get_aval(v.aval) for v in self.jaxpr.invars])
    out_avals = property(lambda self: [get_aval(a.aval) for a in self.jaxpr.outvars])
    eqns = property(lambda self: self.jaxpr.eqns)
    effects = property(lambda self: self.jaxpr.effects)

    def replace(self, *, jaxpr: Graph | None = None, consts: Sequence[Any] | None = None) -> ClosedJaxpr:
        return ClosedJaxpr(jaxpr or self.jaxpr, self.consts if consts is None else consts)

    def map_jaxpr(self, f: Callable[[Graph], Graph]) -> ClosedJaxpr:
        return ClosedJaxpr(f(self.jaxpr), self.consts)

    def __str__(self) -> str:
        return str(self.jaxpr)

    __repr__ = __str__


def make_jaxpr(
    fun: Callable[..., Any],
    static_argnums: int | Sequence[int] = (),
    axis_env: Any = None,
    return_shape: bool = False,
) -> Callable[..., Any]:
    """A function of f's arguments that returns its graph, and the traced arrays that it closes over as constants."""

    @functools.wraps(fun)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if axis_env:
            raise UnsupportedError(
                f"make_jaxpr, at {describe(here())}: axis_env; trace vmap(f, axis_name=...)"
            )
        graph, captured, out = traced_call(fun, static_argnums, args, kwargs)
        closed = ClosedJaxpr(with_constants(graph, len(captured)), captured)
        shapes = [ShapeDtypeStruct(a.shape, a.dtype, weak_type=a.weak_type) for a in graph.out_avals]
        return (closed, tree.unflatten(out, shapes)) if return_shape else closed

    return wrapped


def jaxpr_as_fun(jaxpr: Any) -> Callable[..., Any]:
    """A graph as a function of its inputs; the result is a list."""
    consts = getattr(jaxpr, "consts", ())
    graph = getattr(jaxpr, "jaxpr", jaxpr)
    return lambda *args: graph(*consts, *args)


def new_jaxpr_eqn(
    invars: Sequence[Any], outvars: Sequence[Any], primitive: Any, params: dict[str, Any], *_: Any, **__: Any
) -> JaxprEqn:
    """An equation."""
    return JaxprEqn(primitive, invars, outvars, params)


def eval_jaxpr(jaxpr: Any, consts: Sequence[Any], *args: Any, **_: Any) -> Any:
    """The results of a graph, as a list."""
    return getattr(jaxpr, "jaxpr", jaxpr)(*consts, *args)


def valid_jaxtype(x: Any) -> bool:
    """Whether something is an array or can become one."""
    try:
        abstract(x)
    except TypeError:
        return False
    return True


def concrete_or_error(force: Callable[[Any], Any] | None, val: Any, context: str = "") -> Any:
    """The value of something that must not be traced; the error of fnn's says where it was."""
    return (force or np.asarray)(val)


def is_concrete(x: Any) -> bool:
    """Whether something holds numbers."""
    return not isinstance(x, Tracer)


def subjaxprs(jaxpr: Graph) -> list[Graph]:
    """The graphs inside of a graph's equations."""
    return [g for eqn in jaxpr.equations for g in jaxprs_in_params(eqn.params)]


def jaxprs_in_params(params: dict[str, Any]) -> list[Any]:
    """The graphs among an equation's parameters."""
    values = [
        v for value in params.values() for v in (value if isinstance(value, (tuple, list)) else (value,))
    ]
    return [getattr(v, "jaxpr", v) for v in values if isinstance(v, (Graph, ClosedJaxpr))]


@contextlib.contextmanager
def eval_context() -> Iterator[None]:
    """Inside the block concrete arrays stay concrete, as they do anywhere in fnn's eager mode."""
    yield


class TraceState:
    """Which transformations are running: equal where they are the same."""

    def __init__(self) -> None:
        self.depth, self.stage = state.depth, state.stage

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TraceState) and (self.depth, self.stage) == (other.depth, other.stage)

    def __hash__(self) -> int:
        return hash((self.depth, id(self.stage)))


def find_top_trace(xs: Sequence[Any]) -> Trace | None:
    """The innermost transformation that the arrays belong to, or that records everything; None where there is none."""
    traces = [x.trace for x in xs if isinstance(x, Tracer)]
    if state.stage is not None:
        traces.append(state.stage)
    return max(traces, key=lambda trace: trace.level, default=None)


def get_opaque_trace_state(convention: Any = None) -> TraceState:
    """What transformations are running here."""
    return TraceState()


def trace_state_clean() -> bool:
    """Whether no transformation is running."""
    return state.depth == 0


def unsafe_am_i_under_a_jit_DO_NOT_USE() -> bool:  # JAX's name
    """Whether a function is being traced without values."""
    return state.stage is not None


def unsafe_get_axis_names_DO_NOT_USE() -> list[Any]:  # JAX's name
    """The names of axes that vmap binds here."""
    return list(state.axes)


def nonempty_axis_env_DO_NOT_USE() -> bool:  # JAX's name
    """Whether vmap binds a named axis here."""
    return bool(state.axes)


def primal_dtype_to_tangent_dtype(dtype: Any) -> Any:
    """The dtype of tangents."""
    return dtype if is_inexact(np.dtype(dtype)) else float0


class DropVar(Var):
    """In JAX a result that nobody reads. fnn's graphs name all results."""

    __slots__ = ()


class Effect:
    """In JAX what an equation does beside its results. fnn's equations say only that they do something."""


no_effects: frozenset[Any] = frozenset()


def _without_interpreters(name: str) -> Callable[..., Any]:
    def refuse(*_: Any, **__: Any) -> Any:
        raise UnsupportedError(
            f"jax.extend.core.{name}, at {describe(here())}: fnn has no interpreters of JAX's kind, which a program could "
            "put in the place of its own; graphs are read with make_jaxpr and run with eval_jaxpr"
        )

    refuse.__name__ = name
    refuse.__doc__ = "Refused: fnn runs no interpreters but its own."
    return refuse


take_current_trace = _without_interpreters("take_current_trace")
set_current_trace = _without_interpreters("set_current_trace")
TraceTag = _without_interpreters("TraceTag")

__all__ = [
    "AbstractValue", "Atom", "ClosedJaxpr", "DropVar", "Effect", "Jaxpr", "JaxprEqn", "Literal", "ShapedArray",
    "Trace", "TraceTag", "Tracer", "Value", "Var", "concrete_or_error", "ensure_compile_time_eval", "eval_context",
    "eval_jaxpr", "find_top_trace", "get_aval", "get_opaque_trace_state", "is_concrete", "jaxpr_as_fun",
    "jaxprs_in_params", "make_jaxpr", "mapped_aval", "new_jaxpr_eqn", "no_effects", "nonempty_axis_env_DO_NOT_USE",
    "primal_dtype_to_tangent_dtype", "raise_to_shaped", "safe_map", "safe_zip", "set_current_trace",
    "shaped_abstractify", "subjaxprs", "take_current_trace", "trace_state_clean", "unmapped_aval",
    "unsafe_am_i_under_a_jit_DO_NOT_USE", "unsafe_get_axis_names_DO_NOT_USE", "valid_jaxtype", "with_constants",
]  # fmt: skip
