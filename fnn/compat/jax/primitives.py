"""Primitives that a library written for JAX defines: `jax.extend.core.Primitive`, and the tables of rules beside it.

JAX gives a primitive its rules one by one, from outside: `p.def_impl(f)`, `ad.primitive_jvps[p] = rule`. Here they meet
in one of fnn's primitives, which knows how fnn's transformations ask for them. What differs between the two: reverse mode
is, in JAX, the transpose of the forward rule, so the primitive's own transpose rule is asked for where its operands are
tangents of a forward rule, and nowhere else; and a primitive is compiled by tracing what `mlir.lower_fun` was given, or its
implementation. A rule that writes MLIR is not used.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from fnn.compat.jax.core import get_aval
from fnn.core import primitive as base
from fnn.core.array import as_array
from fnn.core.aval import Aval
from fnn.core.lowering import Decompose
from fnn.core.source import describe, here
from fnn.core.trace import Tracer, aval_of
from fnn.errors import DifferentiationError, UnsupportedError
from fnn.primitives.rules import moveaxis
from fnn.transforms.autodiff import Transposing, fill, vjp_flat


class Zero:
    """A tangent or cotangent of zeros that nobody has made: its type alone."""

    def __init__(self, aval: Any):
        self.aval = get_aval(aval)

    @staticmethod
    def from_primal_value(x: Any) -> Zero:
        return Zero(get_aval(x))

    def instantiate(self) -> Any:
        return fill(None, Aval(self.aval.shape, self.aval.dtype))

    def __repr__(self) -> str:
        return f"Zero({self.aval})"


class UndefinedPrimal:
    """In a transpose rule: an operand that the primitive is linear in, of which only the type is known."""

    def __init__(self, aval: Any):
        self.aval = get_aval(aval)

    def __repr__(self) -> str:
        return f"UndefinedPrimal({self.aval})"


class _Unhashable:
    """A parameter that has no hash, known by identity."""

    def __init__(self, value: Any):
        self.value = value

    def __repr__(self) -> str:
        return repr(self.value)


def _boxed(params: dict[str, Any]) -> dict[str, Any]:
    out = {}
    for name, value in params.items():
        try:
            hash(value)
            out[name] = value
        except TypeError:
            out[name] = _Unhashable(value)
    return out


def _opened(params: dict[str, Any]) -> dict[str, Any]:
    return {k: v.value if type(v) is _Unhashable else v for k, v in params.items()}


class Primitive(base.Primitive):
    """An operation that a library defines by JAX's rules.

    >>> from fnn.compat.jax.interpreters import ad, mlir
    >>> import fnn, fnn.numpy as fnp
    >>> cube_p = Primitive("cube")
    >>> impl = cube_p.def_impl(lambda x: x**3)
    >>> rule = cube_p.def_abstract_eval(lambda x: x)
    >>> mlir.register_lowering(cube_p, mlir.lower_fun(lambda x: x * x * x, multiple_results=False))
    >>> ad.defjvp(cube_p, lambda t, x: 3 * x**2 * t)
    >>> print(fnn.jit(fnn.grad(cube_p.bind))(2.0))
    12.0
    """

    multiple_results = False
    call_primitive = map_primitive = ref_primitive = False

    def __init__(self, name: str):
        # not in the registry: two libraries may use one name, which is none of fnn's own
        self.name = name
        self.multiple, self.evaluate, self.shape = True, self._evaluate, self._shape
        self.jvp, self.vjp, self.batch = self._jvp, self._vjp, self._batch
        self.prepare = self.floor = self.pairs = self.evaluate_for = None
        self._samples: tuple[base.Sample, ...] = ()
        self.types, self.ready = {}, {}
        self.impl: Callable[..., Any] | None = None
        self.abstract_eval: Callable[..., Any] | None = None
        self.effectful = False
        self.effect = lambda params: self.effectful
        self.lowered: tuple[Callable[..., Any], bool] | None = (
            None  # the function, and whether it returns several
        )
        self.lower = Decompose(self._decomposed)
        self.rule_jvp: Callable[..., Any] | None = None
        self.rule_transpose: Callable[..., Any] | None = None
        self.rule_batch: Callable[..., Any] | None = None  # (axis, values, dimensions, **params)
        transposed = _Transposed(self)
        self.on_tangents = lambda args, params: transposed(*args, **params)

    # -- what JAX's users call -----------------------------------------------------------------------------------------

    def def_impl(self, impl: Callable[..., Any]) -> Callable[..., Any]:
        """What it computes, from arrays."""
        self.impl = impl
        return impl

    def def_abstract_eval(self, abstract_eval: Callable[..., Any]) -> Callable[..., Any]:
        """The types of its results, from those of its operands."""
        self.abstract_eval = abstract_eval
        return abstract_eval

    def def_effectful_abstract_eval(self, abstract_eval: Callable[..., Any]) -> Callable[..., Any]:
        """As def_abstract_eval, with the effects beside the types: such a call is never left out."""
        self.effectful = True
        self.abstract_eval = lambda *avals, **params: abstract_eval(*avals, **params)[0]
        return abstract_eval

    def bind(self, *args: Any, **params: Any) -> Any:
        """Call it."""
        outs = self(*[x if type(x) is Tracer else as_array(x) for x in args], **_boxed(params))
        return list(outs) if self.multiple_results else outs[0]

    # -- what fnn calls ------------------------------------------------------------------------------------------------

    def run(self, args: Sequence[Any], params: dict[str, Any]) -> Any:
        return self._evaluate(*map(as_array, args), **params)

    def _list(self, out: Any) -> list[Any]:
        return list(out) if self.multiple_results else [out]

    def _evaluate(self, *args: Any, **params: Any) -> list[Any]:
        if self.impl is None:
            raise self._missing("implementation", "def_impl")
        return [as_array(x) for x in self._list(self.impl(*args, **_opened(params)))]

    def _shape(self, *avals: Aval, **params: Any) -> tuple[Aval, ...]:
        if self.abstract_eval is None:
            raise self._missing("rule for types", "def_abstract_eval")
        outs = self._list(self.abstract_eval(*map(get_aval, avals), **_opened(params)))
        return tuple([Aval(tuple(a.shape), a.dtype, getattr(a, "weak_type", False)) for a in outs])

    def _decomposed(self, *args: Any, **params: Any) -> list[Any]:
        if self.lowered is not None:
            f, several = self.lowered
        elif self.impl is not None:
            f, several = self.impl, self.multiple_results
        else:
            raise UnsupportedError(
                f"{self.name}, at {describe(here())}: it has no lowering that can be traced. Give it one: "
                "mlir.register_lowering(p, mlir.lower_fun(f)); fnn does not read MLIR"
            )
        out = f(*args, **_opened(params))
        return list(out) if several else [out]

    def _missing(self, what: str, how: str) -> UnsupportedError:
        return UnsupportedError(f"{self.name}, at {describe(here())}: the primitive has no {what} ({how})")

    def _jvp(self, primals: Sequence[Any], tangents: Sequence[Any], params: dict[str, Any]) -> Any:
        if self.rule_jvp is None:
            raise DifferentiationError(
                f"{self.name}, at {describe(here())}: the primitive has no derivative (ad.primitive_jvps)"
            )
        primals = [x if type(x) is Tracer else as_array(x) for x in primals]
        given = [Zero(aval_of(x)) if t is None else t for x, t in zip(primals, tangents, strict=True)]
        if self.multiple_results:
            out, found = self.rule_jvp(tuple(primals), tuple(given), **_opened(params))
        else:
            one, tangent = self.rule_jvp(tuple(primals), tuple(given), **_opened(params))
            out, found = [one], [tangent]
        return [as_array(x) for x in out], [_known(t) for t in found]

    def _vjp(self, needs: Sequence[bool], args: Sequence[Any], params: dict[str, Any]) -> Any:
        """The forward rule, which is linear in its tangents, transposed by its own reverse mode."""
        values = list(args)
        chosen = [i for i, n in enumerate(needs) if n]
        outs: list[Any] = []

        def linear(*given: Any) -> list[Any]:
            tangents: list[Any] = [None] * len(values)
            for i, t in zip(chosen, given, strict=True):
                tangents[i] = t
            outs[:], found = self._jvp(values, tangents, params)
            return [fill(t, aval_of(o)) for o, t in zip(outs, found, strict=True)]

        zeros = [fill(None, aval_of(values[i])) for i in chosen]
        tangents, pull = vjp_flat(linear, zeros, [True] * len(chosen), Transposing)

        def back(cts: Sequence[Any]) -> list[Any]:
            found = iter(pull(cts))
            return [next(found) if n else None for n in needs]

        return outs, back, [aval_of(t).is_inexact for t in tangents]

    def _batch(self, frame: Any, flags: Sequence[bool], args: Sequence[Any], params: dict[str, Any]) -> Any:
        if self.rule_batch is None:
            raise self._missing("rule for batches", "batching.primitive_batchers")
        axes = tuple([0 if f else None for f in flags])
        out, found = self.rule_batch(frame, tuple(args), axes, **_opened(params))
        outs = self._list(out)
        places = list(found) if isinstance(found, (tuple, list)) else [found] * len(outs)
        return [
            as_array(x) if place is None else moveaxis(as_array(x), place, 0)
            for x, place in zip(outs, places, strict=True)
        ], [place is not None for place in places]


class _Transposed(base.Primitive):
    """The primitive where its operands are tangents: reverse mode asks for its transpose rule."""

    def __init__(self, primitive: Primitive):
        for name in ("name", "multiple", "evaluate", "shape", "jvp", "batch", "prepare", "floor", "effect"):
            setattr(self, name, getattr(primitive, name))
        self.primitive, self.on_tangents = primitive, None
        self.vjp = self._transpose

    def _transpose(self, needs: Sequence[bool], args: Sequence[Any], params: dict[str, Any]) -> Any:
        own = self.primitive
        if own.rule_transpose is None:
            raise DifferentiationError(
                f"{own.name}, at {describe(here())}: the primitive has no rule for reverse mode (ad.primitive_transposes)"
            )
        rule, opened = own.rule_transpose, _opened(params)
        avals = [aval_of(x) for x in args]
        outs = own(*args, **params)
        types = [aval_of(o) for o in outs]

        def back(cts: Sequence[Any]) -> list[Any]:
            given = [Zero(a) if ct is None else ct for ct, a in zip(cts, types, strict=True)]
            inputs = [UndefinedPrimal(a) if n else x for n, a, x in zip(needs, avals, args, strict=True)]
            found = rule(given if own.multiple_results else given[0], *inputs, **opened)
            if found is Zero or found is None:
                return [None] * len(needs)
            return [_known(ct) if n else None for ct, n in zip(found, needs, strict=True)]

        return outs, back, [a.is_inexact for a in types]


def _known(tangent: Any) -> Any:
    """A tangent of a library's rule as fnn's rules have them."""
    if tangent is None or tangent is Zero or isinstance(tangent, Zero):
        return None
    return as_array(tangent)


class Absent(Primitive):
    """A primitive of JAX's that no graph of fnn's contains."""

    def bind(self, *args: Any, **params: Any) -> Any:
        raise UnsupportedError(f"{self.name}, at {describe(here())}: fnn has no such primitive")


class Rules(dict):
    """A table of JAX's: primitive -> rule. Setting a rule gives it to the primitive."""

    def __init__(self, what: str, attribute: str, wrap: Callable[[Any], Any] = lambda rule: rule):
        super().__init__()
        self.what, self.attribute, self.wrap = what, attribute, wrap

    def __setitem__(self, primitive: Any, rule: Callable[..., Any]) -> None:
        if not isinstance(primitive, Primitive):
            raise UnsupportedError(
                f"{self.what}, at {describe(here())}: {primitive} is fnn's own, whose rules stand with it and cannot be "
                "replaced; use custom_jvp, custom_vjp or custom_vmap"
            )
        super().__setitem__(primitive, rule)
        setattr(primitive, self.attribute, self.wrap(rule))

    def __missing__(self, primitive: Hashable) -> Any:
        raise KeyError(
            f"{self.what} has no rule of {primitive!r}; fnn's own primitives keep theirs with them"
        )


def apply_primitive(primitive: Any, *args: Any, **params: Any) -> Any:
    """A primitive computed now, as it is lowered."""
    if not isinstance(primitive, Primitive):
        return primitive(*args, **params)
    if primitive.lowered is None:
        raise UnsupportedError(
            f"{primitive.name}, at {describe(here())}: the primitive has no lowering that fnn can read"
        )
    return primitive.lowered[0](*args, **params)


def lower_fun(fun: Callable[..., Any], multiple_results: bool = True) -> Callable[..., Any]:
    """A lowering that is a function of arrays: its tracing is the primitive's."""

    @functools.wraps(fun)
    def lowering(ctx: Any, *args: Any, **params: Any) -> Any:
        raise UnsupportedError(f"a lowering was called at {describe(here())}: fnn writes no MLIR")

    setattr(lowering, "traceable", (fun, multiple_results))  # noqa: B010  # pyright knows no such attribute
    return lowering


def register_lowering(prim: Any, rule: Callable[..., Any], platform: str | None = None, **_: Any) -> None:
    """How a primitive is compiled: what `lower_fun` returns; in place of any other its implementation is traced. Platforms
    but the CPU are nothing here."""
    if not isinstance(prim, Primitive):
        raise UnsupportedError(f"register_lowering, at {describe(here())}: {prim} is fnn's own")
    if platform not in (None, "cpu"):
        return
    prim.lowered = getattr(rule, "traceable", None)
