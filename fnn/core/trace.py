"""Tracers and traces: how running a function becomes something else.

There is one kind of Tracer; what an operation on it does is decided by its Trace. Of the traces that the
operands belong to, and the running Stage, the innermost one processes the primitive, and hands on to the
next one out by binding primitives on the tracers' values. With no tracer and no stage, NumPy computes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fnn.core.array import Array, ConcreteArray, concrete_aval
from fnn.core.aval import Aval
from fnn.core.ir import Atom, Equation, Graph, Literal, Var
from fnn.core.source import Source, describe, here
from fnn.errors import (
    ArgumentError,
    ConcretizationError,
    LeakError,
    TracerArrayConversionError,
    TracerBoolConversionError,
    TracerIntegerConversionError,
)

if TYPE_CHECKING:
    from fnn.core.primitive import Primitive


class Tracer(Array):
    """An array inside a trace: `value` is what it stands for one trace further out (None if unknown),
    `note` what its trace keeps about it: a variable, a tangent, a tape slot."""

    __slots__ = ("trace", "value", "note", "aval", "source")

    def __init__(self, trace: Trace, value: Any, note: Any, aval: Aval):
        self.trace, self.value, self.note, self.aval = trace, value, note, aval
        self.source = here(3)  # a trace makes it

    _trace = property(lambda self: self.trace)  # JAX's name, which libraries use

    def concrete(self, what: str, error: type[ConcretizationError] = ConcretizationError) -> Any:
        """The array this stands for, if it is known while tracing."""
        if not self.trace.alive:
            raise_leak(self)
        value = self.trace.concrete(self, what, error)
        return value.concrete(what, error) if type(value) is Tracer else value

    def __bool__(self) -> bool:
        return bool(
            self.concrete("bool() (an `if`, `while`, `and`, `or` or `not`)", TracerBoolConversionError)
        )

    def __int__(self) -> int:
        return int(self.concrete("int()"))

    def __float__(self) -> float:
        return float(self.concrete("float()"))

    def __complex__(self) -> complex:
        return complex(self.concrete("complex()"))

    def __index__(self) -> int:
        return self.concrete("use as an index or a size", TracerIntegerConversionError).__index__()

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        if not self.trace.alive:
            raise_leak(self)
        raise TracerArrayConversionError(
            f"NumPy was given a traced {self.aval} at {describe(here())}; {self.trace.argument_hint(self)}derivatives and "
            "tracing would be lost. Call the function of the same name in fnn.numpy instead of numpy, or move the NumPy "
            "code out of the transformed function."
        )

    def __repr__(self) -> str:
        return f"Tracer({self.aval}, {self.trace.kind}, level {self.trace.level})"

    __hash__ = object.__hash__


def raise_leak(tracer: Tracer) -> None:
    """The error of a tracer that outlived its trace."""
    raise LeakError(
        f"a traced array, made at {describe(tracer.source)}, was used at {describe(here())} after the {tracer.trace.kind} "
        "that made it had ended. Return it from the transformed function instead of storing it in a global, an attribute "
        "or a list outside."
    )


class _State(threading.local):
    """What is running in this thread."""

    def __init__(self) -> None:
        self.depth = 0  # number of running traces
        self.stage: Stage | None = None  # the innermost running Stage: everything inside of it is recorded
        self.axes: dict[Any, Trace] = {}  # axis name -> the trace that binds it


state = _State()


class Trace:
    """A running transformation. `with` marks its extent; tracers must not outlive it."""

    __slots__ = ("level", "alive", "thread")
    kind = "transformation"

    def __init__(self) -> None:
        self.level, self.alive, self.thread = -1, False, threading.get_ident()

    main = property(lambda self: self)  # JAX's name for what its tracers have in common

    def __enter__(self) -> Any:
        state.depth += 1
        self.level, self.alive = state.depth, True
        return self

    def __exit__(self, *exc: object) -> None:
        state.depth -= 1
        self.alive = False

    def argument_hint(self, tracer: Tracer) -> str:
        """Which argument of the user's function a tracer is, where that is known; '' or a sentence part."""
        return ""

    def concrete(self, tracer: Tracer, what: str, error: type[ConcretizationError]) -> Any:
        return tracer.value

    def process(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        raise NotImplementedError

    def owns(self, x: Any) -> bool:
        return type(x) is Tracer and x.trace is self

    def forbid_captures(self, outs: Sequence[Any], params: dict[str, Any]) -> None:
        """A user's rule must not bring in tracers of the trace that applies the rule."""
        for o in outs:
            if o is not None and self.owns(o):
                raise ArgumentError(
                    f"{params['name']}: a function with custom derivatives closes over a traced array made at "
                    f"{describe(o.source)}; pass it as an argument"
                )


def aval_of(x: Any) -> Aval:
    """The abstract value of an array, a tracer or a Python number."""
    cls = type(x)
    if cls is ConcreteArray or cls is Tracer:
        return x.aval
    return concrete_aval(x)


class Stage(Trace):
    """Records a Graph. Its tracers have no values; note is the variable."""

    __slots__ = ("inputs", "equations", "captured", "outer", "names", "what", "__weakref__")
    kind = "jit (or another staged function)"

    def __init__(self, names: Callable[[int], str] | None = None, what: str = "a staged function") -> None:
        super().__init__()
        self.inputs: list[Var] = []
        self.equations: list[Equation] = []
        self.captured: dict[int, tuple[Tracer, Var]] = {}
        self.outer: Stage | None = None
        self.names, self.what = names, what  # names: number of an input -> its path in the user's arguments

    def __enter__(self) -> Stage:
        self.outer, state.stage = state.stage, self
        return super().__enter__()

    def __exit__(self, *exc: object) -> None:
        state.stage = self.outer
        super().__exit__()

    def input(self, aval: Aval) -> Tracer:
        var = Var(aval)
        self.inputs.append(var)
        return Tracer(self, None, var, aval)

    def atom(self, x: Any) -> Atom:
        """The operand that stands for x in this graph; outer tracers become further inputs."""
        if type(x) is not Tracer:
            return Literal(x.value if type(x) is ConcreteArray else x, aval_of(x))
        if x.trace is self:
            return x.note
        if not x.trace.alive:
            raise_leak(x)
        pair = self.captured.get(id(x))
        if pair is None:
            pair = self.captured[id(x)] = x, Var(x.aval)
        return pair[1]

    def process(self, primitive: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        if primitive.prepare is not None:
            params = primitive.prepare(args, params)
        inputs = [self.atom(a) for a in args]
        aval = primitive.out_aval(tuple([a.aval for a in inputs]), params)
        source: Source | None
        if primitive.multiple:
            outputs = [Var(a) for a in aval]
            result: Any = [Tracer(self, None, v, v.aval) for v in outputs]
            source = result[0].source if result else here()
        else:
            outputs = [Var(aval)]
            result = Tracer(self, None, outputs[0], aval)
            source = result.source
        self.equations.append(Equation(primitive, inputs, outputs, params, source))
        return result

    def argument_hint(self, tracer: Tracer) -> str:
        """Which arguments of the user's function a value depends on."""
        if self.names is None:
            return ""
        position = {v: i for i, v in enumerate(self.inputs)}
        if tracer.note in position:
            return f"it is the argument {self.names(position[tracer.note])} of {self.what}; "
        makers = {v: e for e in self.equations for v in e.outputs}
        seen, todo, found = set(), [tracer.note], set()
        while todo:
            v = todo.pop()
            if v in seen or type(v) is not Var:
                continue
            seen.add(v)
            if v in position:
                found.add(position[v])
            elif v in makers:
                todo.extend(makers[v].inputs)
        if not found:
            return ""
        names = ", ".join(self.names(i) for i in sorted(found)[:4]) + (", ..." if len(found) > 4 else "")
        return f"it depends on the argument{'s' * (len(found) > 1)} {names} of {self.what}; "

    def concrete(self, tracer: Tracer, what: str, error: type[ConcretizationError]) -> Any:
        raise error(
            f"{what} at {describe(here())} needs the value of a traced {tracer.aval}, computed at "
            f"{describe(tracer.source)}; {self.argument_hint(tracer)}"
            "a staged function (jit, or the body of scan, cond, while_loop) is traced without values. "
            "Use fnn.numpy.where, fnn.lax.cond or fnn.lax.while_loop in place of Python's if and while; or make the argument "
            "static (static_argnums, static_argnames); or leave out jit: plain grad runs Python control flow."
        )

    def finish(self, outputs: Sequence[Any]) -> tuple[Graph, list[Tracer]]:
        """(graph, captured outer tracers): the graph takes the inputs, then the captured."""
        outs = [self.atom(x) for x in outputs]
        pairs = list(self.captured.values())
        return Graph([*self.inputs, *(v for _, v in pairs)], outs, self.equations), [x for x, _ in pairs]


@contextlib.contextmanager
def ensure_compile_time_eval() -> Iterator[None]:
    """Inside the block, operations on known values are computed while a function is traced instead of being recorded.

    >>> import fnn, fnn.numpy as fnp
    >>> def f(x):
    ...     with ensure_compile_time_eval():
    ...         size = int(fnp.sum(fnp.array([1, 2])))  # a Python number, inside of jit
    ...     return fnp.broadcast_to(x, size)
    >>> print(fnn.jit(f)(2.0))
    [2. 2. 2.]
    """
    outer, state.stage = state.stage, None
    try:
        yield
    finally:
        state.stage = outer


def stage(
    f: Callable[..., Sequence[Any]],
    avals: Sequence[Aval],
    names: Callable[[int], str] | None = None,
    what: str = "a staged function",
) -> tuple[Graph, list[Tracer]]:
    """Trace f(*arrays) -> list of arrays without values: (graph, captured)."""
    with Stage(names, what) as trace:
        return trace.finish(f(*[trace.input(a) for a in avals]))


def closed_stage(f: Callable[..., Sequence[Any]], avals: Sequence[Aval]) -> Graph:
    """Stage a rule of a graph, which must capture nothing."""
    graph, captured = stage(f, avals)
    if captured:
        raise LeakError(
            f"a rule that transforms a graph captured {captured[0]!r}; rules of graphs must be closed"
        )
    return graph


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of an operand of a primitive."""
    cls = type(x)
    if cls is ConcreteArray or cls is Tracer:
        return x.aval.shape
    return getattr(x, "shape", ())
