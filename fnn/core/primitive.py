"""Primitives: operations with all their rules."""

from __future__ import annotations

import contextvars
import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fnn.config import config
from fnn.core.array import SCALAR_TYPES, ConcreteArray
from fnn.core.aval import Aval
from fnn.core.lowering import Lowering
from fnn.core.nonfinite import forbid_nonfinite
from fnn.core.source import describe, here
from fnn.core.trace import Trace, Tracer, aval_of, raise_leak, state
from fnn.errors import DifferentiationError, LeakError, UnsupportedError
from fnn.records import field, record

ndarray = np.ndarray
registry: dict[str, Primitive] = {}


@record(frozen=True)
class Unsupported:
    """A rule that cannot exist, with the reason. Calling it raises that."""

    reason: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise UnsupportedError(f"{self.reason}, at {describe(here())}")


def unsupported(reason: str) -> Unsupported:
    """In place of a rule: `jvp=unsupported("...has no derivative")`."""
    return Unsupported(reason)


@record(frozen=True)
class Sample:
    """One example call of a primitive, for its tests.

    args: per operand a spec "f4[2,3]" (element type code, shape), an array, or a Python number (weak).
    low, high: the range random numbers are drawn from; differentiate: whether derivatives are compared
    with finite differences there (turn it off at kinks and jumps); tolerance multiplies the dtype's own."""

    args: tuple[Any, ...]
    params: dict[str, Any] = field(default_factory=dict)
    low: float = -2.0
    high: float = 2.0
    differentiate: bool = True
    tolerance: float = 1.0

    def arrays(self, rng: np.random.Generator) -> list[Any]:
        """The operands: NumPy arrays and Python numbers."""
        return [_draw(a, rng, self.low, self.high) for a in self.args]


Samples = Sequence[Sample] | Callable[[], Sequence[Sample]]  # a function spares programs what only tests use


def parse_spec(spec: str) -> tuple[np.dtype, tuple[int, ...]]:
    """ "f4[2,3]" -> (float32, (2, 3)); "bf" is bfloat16, "f2" float16, "c8" complex64, "b1" bool, "key" a PRNG key."""
    from fnn import dtypes

    code, _, shape = spec.rstrip("]").partition("[")
    named = {"bf": np.dtype(dtypes.bfloat16), "key": np.dtype(dtypes.key_dtype), "b1": np.dtype("bool")}
    return named[code] if code in named else np.dtype(code), tuple(int(n) for n in shape.split(",") if n)


def _draw(arg: Any, rng: np.random.Generator, low: float, high: float) -> Any:
    if not isinstance(arg, str):
        return arg
    dtype, shape = parse_spec(arg)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind in "iu":
        least = 0 if dtype.kind == "u" else int(low)
        return rng.integers(least, max(int(high), least + 1), shape, endpoint=True).astype(dtype)
    if dtype.kind == "c":
        parts = rng.uniform(low, high, (2, *shape))
        return np.asarray(parts[0] + 1j * parts[1]).astype(dtype)
    if dtype.names:
        return (
            rng.integers(0, 2**63, shape, dtype=np.uint64).view(dtype)
            if shape
            else np.array(rng.integers(0, 2**63), np.uint64).view(dtype)
        )
    return np.asarray(rng.uniform(low, high, shape)).astype(dtype)


class Primitive:
    """An operation with all its rules.

    shape(*avals, **params) -> aval                      its type (a list of avals with `multiple`)
    evaluate(*arrays, **params) -> array                 its meaning, in NumPy jvp(primals, tangents, params)
    -> (out, tangent)     None stands for a zero tangent, in and out vjp(needs, args, params) -> (out, pull)
    pull(ct) -> a cotangent or None per argument; pull is None where nothing is differentiable batch(frame,
    flags, args, params) -> (out, flag)     flagged arguments carry the batch, of frame.size, on axis 0 lower
    one of the ways in fnn.core.lowering samples                                              example calls:
    what its tests run on

    With `multiple`, out, tangent, ct and flag are lists, and vjp returns (out, pull, active): which
    outputs depend differentiably on the arguments that need a cotangent. prepare(args, params) -> params
    runs before staging; pairs(args, params) -> the result where complex operands come as `Pair`s of real
    ones, for compiled programs (see fnn.primitives.pairs); floor(params) -> the innermost trace that binds
    an axis name the operation refers to. evaluate_for(types, params) -> evaluate for operands of these
    types (an Aval, or the type of a Python number), parameters bound: what costs the same for all of them,
    done once. effect(params) -> whether it does more than compute its results (it prints, say): such an
    equation is never left out, merged with an equal one, computed again or moved past another. on_tangents(args, params)
    -> the result where a forward rule applies the operation to its tangents and is being transposed: what has such a
    rule itself would ask for it again and again. Parameters are hashable."""

    __slots__ = (
        "name",
        "shape",
        "evaluate",
        "jvp",
        "vjp",
        "batch",
        "lower",
        "_samples",
        "multiple",
        "prepare",
        "floor",
        "pairs",
        "evaluate_for",
        "effect",
        "on_tangents",
        "types",
        "ready",
    )

    call_primitive = map_primitive = False  # JAX asks: none holds a function of another kind than a graph
    multiple_results = property(lambda self: self.multiple)

    def __init__(
        self,
        name: str,
        *,
        shape: Callable[..., Any],
        evaluate: Callable[..., Any],
        jvp: Callable[..., Any] | None = None,
        vjp: Callable[..., Any] | None = None,
        batch: Callable[..., Any] | None = None,
        lower: Lowering | Unsupported | None = None,
        samples: Samples = (),
        multiple: bool = False,
        prepare: Callable[..., dict[str, Any]] | None = None,
        floor: Callable[[dict[str, Any]], Trace | None] | None = None,
        pairs: Callable[[Sequence[Any], dict[str, Any]], Any] | None = None,
        evaluate_for: Callable[[Sequence[Aval | type], dict[str, Any]], Callable[..., Any]] | None = None,
        effect: Callable[[dict[str, Any]], bool] | None = None,
    ):
        self.name, self.shape, self.evaluate, self.jvp, self.vjp = name, shape, evaluate, jvp, vjp
        self.batch, self.lower, self._samples = batch, lower, samples
        self.multiple, self.prepare, self.floor = multiple, prepare, floor
        self.evaluate_for, self.effect, self.pairs = evaluate_for, effect, pairs
        self.on_tangents: Callable[[Sequence[Any], dict[str, Any]], Any] | None = None
        self.types: dict[Any, Any] = {}  # (operand avals, parameters) -> result aval
        self.ready: dict[Any, Callable[..., ConcreteArray]] = {}  # what `run` calls, by the types of operands
        if name in registry:
            raise ValueError(f"a primitive named {name} exists already")
        registry[name] = self

    @property
    def samples(self) -> tuple[Sample, ...]:
        """Example calls."""
        if not isinstance(self._samples, tuple):
            self._samples = tuple(self._samples() if callable(self._samples) else self._samples)
        return self._samples

    def __call__(self, *args: Any, **params: Any) -> Any:
        """Bind: run, record or transform this operation, as its operands demand."""
        top: Trace | None = None if self.floor is None else self.floor(params)
        for a in args:
            if type(a) is Tracer:
                trace = a.trace
                if not trace.alive:
                    raise_leak(a)
                if top is None or trace.level > top.level:
                    top = trace
        running = state.stage
        if running is None:
            if top is None:
                return self.run(args, params)
        elif top is None or top.level < running.level:
            top = running
        if top.thread != threading.get_ident():
            raise LeakError(
                f"a traced array of one thread was used in another at {describe(here())}. Run the whole transformed "
                "function in one thread; pass concrete arrays between threads."
            )
        return top.process(self, args, params)

    def out_aval(self, avals: tuple[Aval, ...], params: dict[str, Any]) -> Any:
        """The result's type, cached by the operands' types and the parameters."""
        key = (avals, tuple(params.items())) if params else avals
        aval = self.types.get(key)
        if aval is None:
            aval = self.shape(*avals, **params)
            if len(self.types) > 4096:
                self.types.clear()
            self.types[key] = aval
        return aval

    def bind(self, *args: Any, **params: Any) -> Any:
        """The call, under JAX's name."""
        return self(*args, **params)

    def run(self, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """Compute now, with NumPy."""
        if self.multiple:
            return self._run_multiple(args, params)
        if len(args) == 2:  # most operations; comprehensions cost as much as their evaluation
            x, y = args
            if type(x) is ConcreteArray:
                one, x = x.aval, x._value
            else:
                one = type(x)
            if type(y) is ConcreteArray:
                other, y = y.aval, y._value
            else:
                other = type(y)
            key = (
                (one, other, config.enable_x64, *params.items())
                if params
                else (one, other, config.enable_x64)
            )
            if x is not None and y is not None:  # nothing was donated
                return (self.ready.get(key) or self._make_ready(key, args, params))(x, y)
        types = [a.aval if type(a) is ConcreteArray else type(a) for a in args]
        values = [a.value if type(a) is ConcreteArray else a for a in args]
        key = (*types, config.enable_x64, *params.items())
        return (self.ready.get(key) or self._make_ready(key, args, params))(*values)

    def prepared(self, args: Sequence[Any], params: dict[str, Any]) -> Callable[..., ConcreteArray]:
        """What `run` calls on the NumPy arrays and the numbers of operands of these types."""
        types = [a.aval if type(a) is ConcreteArray else type(a) for a in args]
        key = (*types, config.enable_x64, *params.items())
        return self.ready.get(key) or self._make_ready(key, args, params)

    def _make_ready(
        self, key: tuple, args: Sequence[Any], params: dict[str, Any]
    ) -> Callable[..., ConcreteArray]:
        aval = self.out_aval(tuple([aval_of(a) for a in args]), params)
        types = key[: len(args)]
        if not all(
            isinstance(t, Aval) or t in SCALAR_TYPES for t in types
        ):  # NumPy's: the type says too little
            return self._computation(functools.partial(self.evaluate, **params), aval)
        if self.evaluate_for is not None:
            evaluate = self.evaluate_for(types, params)
        else:
            evaluate = functools.partial(self.evaluate, **params) if params else self.evaluate
        ready = self._computation(evaluate, aval)
        if len(self.ready) > 4096:
            self.ready.clear()
        self.ready[key] = ready
        return ready

    def _computation(self, evaluate: Callable[..., Any], aval: Aval) -> Callable[..., ConcreteArray]:
        """From NumPy arrays and numbers to an array of this type."""
        dtype, new, quiet = aval.dtype, object.__new__, _quiet

        def compute(*values: Any) -> ConcreteArray:
            try:
                within = quiet.pop()
            except IndexError:
                within = _without_warnings()
            try:
                out = within(evaluate, *values)
            finally:
                quiet.append(within)
            if type(out) is not ndarray:
                out = np.asarray(out)
            if out.dtype is not dtype and out.dtype != dtype:
                out = out.astype(dtype)
            if config.debug_nans or config.debug_infs:
                forbid_nonfinite(self, values, [out])
            made = new(ConcreteArray)  # without its __init__, which costs as much as all of this
            made._value, made.aval = out, aval
            return made

        return compute

    def _run_multiple(self, args: Sequence[Any], params: dict[str, Any]) -> list[Any]:
        if self.prepare is not None:  # it holds a function of the user's, which is simply called
            return list(self.evaluate(*args, **params))
        avals = self.out_aval(tuple([aval_of(a) for a in args]), params)
        values = [a.value if type(a) is ConcreteArray else a for a in args]
        with np.errstate(all="ignore"):
            out = self.evaluate(*values, **params)
        found = [o if isinstance(o, ConcreteArray) else _wrap(o, a) for o, a in zip(out, avals, strict=True)]
        if config.debug_nans or config.debug_infs:
            forbid_nonfinite(self, values, [o.value for o in found])
        return found

    def __repr__(self) -> str:
        return self.name


# Contexts in which NumPy does not warn, those that nothing runs in: entering one costs a tenth of np.errstate, and
# leaves the caller's own settings alone.
_quiet: list[Callable[..., Any]] = []


def _without_warnings() -> Callable[..., Any]:
    context = contextvars.Context()
    context.run(np.seterr, all="ignore")
    return context.run


def _wrap(out: Any, aval: Aval) -> ConcreteArray:
    """A NumPy result as an array of the declared type."""
    value = np.asarray(out)
    if value.dtype != aval.dtype:
        value = value.astype(aval.dtype)
    return ConcreteArray(value, aval)


def not_differentiable(reason: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """(jvp, vjp) that raise DifferentiationError with the reason when a derivative is asked for."""

    def refuse(*_: Any) -> Any:
        raise DifferentiationError(f"{reason}, at {describe(here())}")

    return refuse, refuse
