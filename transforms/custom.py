"""Functions with derivatives of their own: custom_jvp and custom_vjp."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from fnn import primitives as P
from fnn import tree
from fnn.core.array import SCALAR_TYPES, as_array
from fnn.core.aval import Aval
from fnn.core.ir import Graph
from fnn.core.lowering import Loop
from fnn.core.primitive import Primitive, Sample
from fnn.core.source import describe, function_place
from fnn.core.trace import aval_of, stage, state
from fnn.errors import ArgumentError, MismatchError, MissingRuleError, TreeError
from fnn.primitives.rules import lift
from fnn.transforms.autodiff import Transposing, fill, vjp_flat
from fnn.transforms.batching import vmap_flat
from fnn.transforms.calls import graph_floor
from fnn.transforms.closures import close_jvp, close_vjp, refuse_closed
from fnn.transforms.flattening import fits, flatten_arguments, flatten_result
from fnn.transforms.symbolic_zeros import SymbolicZero, differentiating, instantiated, marked, of_present


def with_graph(args: Sequence[Any], params: dict[str, Any]) -> dict[str, Any]:
    """Before such a call is recorded its function becomes a graph."""
    if isinstance(params["fun"], Graph):
        return params
    graph, captured = stage(params["fun"], [aval_of(a) for a in args])
    if captured:
        raise ArgumentError(
            f"{params['name']}: a function with a rule of its own closes over a traced array, {captured[0].aval}, made at "
            f"{describe(captured[0].source)}; pass it as an argument"
        )
    return {**params, "fun": graph}


def result_avals(*avals: Aval, fun: Graph, **_: Any) -> tuple[Aval, ...]:
    return fun.out_avals


def mapped(
    f: Callable[..., Any], size: int, flags: Sequence[bool], name: Hashable = None
) -> Callable[..., Any]:
    """f over lists, vmapped by flags; every result is batched. Works for what returns (outs, saved) too."""

    def batched(*args: Any) -> Any:
        shapes: list[Any] = []

        def flat(*xs: Any) -> list[Any]:
            leaves, structure = tree.flatten(f(*xs))
            shapes[:] = [structure]
            return leaves

        outs, mine = vmap_flat(flat, size, flags, name)(*args)
        full = [lift(size, o, m) for o, m in zip(outs, mine, strict=True)]
        return tree.unflatten(shapes[0], full)

    return batched


# -- forward rules -------------------------------------------------------------------------------------------


def _jvp_call_jvp(primals: Sequence[Any], tangents: Sequence[Any], p: dict[str, Any]) -> Any:
    refuse_closed(p["name"], primals, [t is not None for t in tangents], p.get("closed", 0))
    return p["rule"](list(primals), list(tangents))


def _jvp_call_vjp(needs: Sequence[bool], args: Sequence[Any], p: dict[str, Any]) -> Any:
    """The rule is linear in its tangents: its own vjp there is its transpose."""
    refuse_closed(p["name"], args, needs, p.get("closed", 0))
    values = list(args)
    avals = [aval_of(x) for x in values]
    chosen = [i for i, n in enumerate(needs) if n]
    outs: list[Any] = []

    def linear(*tangents: Any) -> list[Any]:
        full: list[Any] = [None] * len(values)
        for i, t in zip(chosen, tangents, strict=True):
            full[i] = t
        found, out_tangents = p["rule"](values, full)
        outs[:] = found
        return out_tangents

    zeros = [P.zeros(avals[i].strong()) for i in chosen]
    tangents, pull = vjp_flat(linear, zeros, [True] * len(chosen), Transposing)
    active = [aval_of(t).is_inexact for t in tangents]

    def back(cts: Sequence[Any]) -> list[Any]:
        found = iter(pull(cts))
        return [next(found) if n else None for n in needs]

    return outs, back, active


def _jvp_call_batch(frame: Any, flags: Sequence[bool], args: Sequence[Any], p: dict[str, Any]) -> Any:
    def rule(primals: list[Any], tangents: list[Any]) -> Any:
        # An unbatched operand has an unbatched tangent, unless the trace outside made it one of the batch.
        both, given = of_present(p["rule"], tangents)
        also = [f for f, t in zip(flags, tangents, strict=True) if t is not None]
        return mapped(both, frame.size, [*flags, *also], frame.name)(*primals, *given)

    outs = custom_jvp_call(
        *args, **{**p, "fun": mapped(p["fun"], frame.size, flags, frame.name), "rule": rule}
    )
    return outs, [True] * len(outs)


def _samples(**rules: Callable[..., Any]) -> list[Sample]:
    """sin, with the rules given."""
    graphs = {n: stage(lambda x: [P.sin(x)], [Aval((n,), np.dtype("float32"))])[0] for n in (3, 0)}
    return [Sample((f"f4[{n}]",), {"fun": g, "name": "sample", **rules}) for n, g in graphs.items()]


custom_jvp_call = Primitive(
    "custom_jvp",
    multiple=True,
    shape=result_avals,
    prepare=with_graph,
    floor=graph_floor,
    evaluate=lambda *args, fun, **_: fun(*map(as_array, args)),
    jvp=_jvp_call_jvp,
    vjp=_jvp_call_vjp,
    batch=_jvp_call_batch,
    lower=Loop("call"),
    samples=lambda: _samples(
        rule=lambda primals, tangents: ([P.sin(*primals)], [P.mul(P.cos(*primals), *tangents)])
    ),
)


custom_jvp_call.on_tangents = lambda args, params: params["fun"](*args)

# -- reverse rules -------------------------------------------------------------------------------------------


def _vjp_call_vjp(needs: Sequence[bool], args: Sequence[Any], p: dict[str, Any]) -> Any:
    refuse_closed(p["name"], args, needs, p.get("closed", 0))
    with differentiating(needs):
        outs, saved = p["forward"](*args)
    avals = [aval_of(o) for o in outs]

    def back(cts: Sequence[Any]) -> list[Any]:
        found = p["backward"](saved, [fill(c, a) for c, a in zip(cts, avals, strict=True)])
        return [c if n else None for c, n in zip(found, needs, strict=True)]

    return outs, back, [True] * len(outs)


def _vjp_call_jvp(primals: Sequence[Any], tangents: Sequence[Any], p: dict[str, Any]) -> Any:
    """The backward rule is linear in the cotangents; its own vjp is its transpose, the forward derivative."""
    refuse_closed(p["name"], primals, [t is not None for t in tangents], p.get("closed", 0))
    with differentiating([t is not None for t in tangents]):
        outs, saved = p["forward"](*primals)
    avals = [aval_of(x) for x in primals]
    out_avals = [aval_of(o) for o in outs]

    def backward(*cts: Any) -> list[Any]:
        found = p["backward"](saved, list(cts))
        return [fill(c, a) for c, a, t in zip(found, avals, tangents, strict=True) if t is not None]

    _, forward = vjp_flat(
        backward, [P.zeros(a.strong()) for a in out_avals], [a.is_inexact for a in out_avals]
    )
    return outs, forward([t for t in tangents if t is not None])


def _vjp_call_batch(frame: Any, flags: Sequence[bool], args: Sequence[Any], p: dict[str, Any]) -> Any:
    def backward(saved: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
        n = len(saved)
        mask: list[bool] = []

        def present(*xs: Any) -> list[Any]:
            found = p["backward"](list(xs[:n]), list(xs[n:]))
            mask[:] = [c is not None for c in found]
            return [c for c in found if c is not None]

        given = iter(mapped(present, frame.size, [True] * (n + len(cts)), frame.name)(*saved, *cts))
        found = [next(given) if m else None for m in mask]
        return [
            c if f or c is None else P.reduce_sum(c, axes=(0,)) for c, f in zip(found, flags, strict=True)
        ]

    fun, forward = (
        mapped(p["fun"], frame.size, flags, frame.name),
        mapped(p["forward"], frame.size, flags, frame.name),
    )
    outs = custom_vjp_call(*args, **{**p, "fun": fun, "forward": forward, "backward": backward})
    return outs, [True] * len(outs)


custom_vjp_call = Primitive(
    "custom_vjp",
    multiple=True,
    shape=result_avals,
    prepare=with_graph,
    floor=graph_floor,
    evaluate=lambda *args, fun, **_: fun(*map(as_array, args)),
    jvp=_vjp_call_jvp,
    vjp=_vjp_call_vjp,
    batch=_vjp_call_batch,
    lower=Loop("call"),
    samples=lambda: _samples(
        forward=lambda x: ([P.sin(x)], [P.cos(x)]), backward=lambda saved, cts: [P.mul(saved[0], cts[0])]
    ),
)


# -- what people write ---------------------------------------------------------------------------------------


class _Custom:
    """What custom_jvp and custom_vjp share: binding arguments and keeping the non-differentiable ones
    aside."""

    def __init__(
        self,
        fun: Callable[..., Any],
        nondiff_argnums: Sequence[int] = (),
        nondiff_argnames: Sequence[str] = (),
    ):
        functools.update_wrapper(self, fun, updated=())  # pyright: ignore[reportArgumentType]  # subclasses are callable
        attributes = getattr(fun, "__dict__", {}).items()
        self.__dict__.update({k: x for k, x in attributes if not hasattr(type(self), k)})
        self.f = fun
        names = list(inspect.signature(fun).parameters) if nondiff_argnames else []
        for name in nondiff_argnames:
            if name not in names:
                raise ArgumentError(f"{function_place(fun)} has no argument {name!r} (nondiff_argnames)")
        self.nondiff = tuple(sorted({*nondiff_argnums, *map(names.index, nondiff_argnames)}))

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)  # pyright: ignore[reportArgumentType]  # as above

    def _bind(self, args: tuple, kwargs: dict[str, Any]) -> tuple:
        """All arguments by position, with defaults."""
        if not kwargs and not self._defaults():
            return args
        bound = inspect.signature(self.f).bind(*args, **kwargs)
        bound.apply_defaults()
        if bound.kwargs:
            raise ArgumentError(
                f"{function_place(self.f)} has custom derivatives, so its arguments must be positional; "
                f"{sorted(bound.kwargs)} are keyword-only"
            )
        return bound.args

    def _defaults(self) -> bool:
        try:
            parameters = inspect.signature(self.f).parameters.values()
        except (TypeError, ValueError):
            return False
        return any(q.default is not q.empty for q in parameters)

    def _split(self, args: tuple) -> tuple[list[Any], tuple, Callable[[Any], list[Any]]]:
        """(fixed arguments, differentiable ones, how to put the latter back among the former)."""
        places = [i % len(args) for i in self.nondiff]
        fixed = [args[i] for i in places]
        dynamic = tuple(a for i, a in enumerate(args) if i not in places)

        def merge(xs: Any) -> list[Any]:
            rest = iter(xs)
            return [args[i] if i in places else next(rest) for i in range(len(args))]

        return fixed, dynamic, merge


class custom_jvp(_Custom):  # the field's name
    """A function with a forward derivative of its own; reverse mode transposes it.

    `f.defjvp(rule)`: rule(*fixed, primals, tangents) -> (out, tangent), linear in the tangents;
    `f.defjvps(*rules)`: one rule per argument, rule(t, out, *primals), None for zero. Arguments numbered in
    nondiff_argnums are passed first, as they are.

    >>> import fnn, fnn.numpy as fnp
    >>> @fnn.custom_jvp
    ... def f(x):
    ...     return fnp.sin(x)
    >>> @f.defjvp
    ... def rule(primals, tangents):
    ...     return f(*primals), 10.0 * tangents[0]
    >>> print(fnn.grad(f)(0.0))
    10.0
    """

    rule: Callable[..., Any] | None = None
    symbolic_zeros = False

    def defjvp(self, rule: Callable[..., Any], symbolic_zeros: bool = False) -> Callable[..., Any]:
        """With symbolic_zeros the rule gets a `SymbolicZero` in place of a tangent that is known to be zero."""
        self.rule, self.symbolic_zeros = rule, symbolic_zeros
        return rule

    def defjvps(self, *rules: Callable[..., Any] | None) -> None:
        if self.nondiff:
            raise ArgumentError("defjvps does not take nondiff_argnums; use defjvp")

        def rule(primals: tuple, tangents: tuple) -> Any:
            out = self(*primals)
            terms = [r(t, out, *primals) for r, t in zip(rules, tangents, strict=True) if r is not None]
            total = terms[0] if terms else tree.map(lambda o: P.zeros(aval_of(o)), out)
            for term in terms[1:]:
                total = tree.map(lambda a, b: P.add(as_array(a), as_array(b)), total, term)
            return out, total

        self.defjvp(rule)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.rule is None:
            raise MissingRuleError(
                f"custom_jvp {function_place(self.f)} has no rule yet: define one with defjvp"
            )
        fixed, dynamic, merge = self._split(self._bind(args, kwargs))
        leaves, structure = flatten_arguments(f"custom_jvp {function_place(self.f)}", dynamic)
        box: list[Any] = []

        def fun(*xs: Any) -> list[Any]:
            outs, box[:] = _outputs(self.f, self.f(*merge(tree.unflatten(structure, xs))))
            return outs

        def rule(primals: list[Any], tangents: list[Any]) -> Any:
            zero = SymbolicZero if self.symbolic_zeros else lambda a: fill(None, a)
            full = [zero(aval_of(x)) if t is None else t for x, t in zip(primals, tangents, strict=True)]
            pair = self.rule(*fixed, tree.unflatten(structure, primals), tree.unflatten(structure, full))  # type: ignore[misc]
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise ArgumentError(f"the jvp rule {function_place(self.rule)} must return (out, tangent)")
            outs, out_structure = flatten_result("custom_jvp", self.rule, pair[0])
            tangents, same = flatten_result("custom_jvp", self.rule, instantiated(pair[1]))
            if same != out_structure:
                raise TreeError(
                    f"the jvp rule {function_place(self.rule)} returns structures {out_structure} and {same} "
                    "for the result and its tangent; they must agree"
                )
            box[:] = [out_structure]
            for o, t in zip(outs, tangents, strict=True):
                if o.aval.shape != t.aval.shape or (o.aval.is_inexact and not fits(t.aval, o.aval)):
                    raise MismatchError(
                        f"the jvp rule {function_place(self.rule)} returns a tangent {t.aval} for a "
                        f"result {o.aval}"
                    )
            return outs, [
                P.convert(t, dtype=o.aval.dtype) if o.aval.is_inexact and t.aval.dtype != o.aval.dtype else t
                for o, t in zip(outs, tangents, strict=True)
            ]

        name = getattr(self.f, "__name__", "custom_jvp")
        if state.stage is None:
            outs = custom_jvp_call(*leaves, fun=fun, rule=rule, name=name)
        else:  # recorded: what the functions close over becomes operands
            closed = close_jvp(leaves, fun, rule)
            outs = custom_jvp_call(*closed.args, **closed.params, name=name)
        return tree.unflatten(box[0], outs)


def _outputs(f: Any, out: Any) -> tuple[list[Any], list[Any]]:
    arrays, structure = flatten_result("custom derivatives", f, out)
    return arrays, [structure]


class custom_vjp(_Custom):  # the field's name
    """A function with a reverse derivative of its own.

    `f.defvjp(forward, backward)`: forward(*args) -> (out, saved); backward(*fixed, saved, ct) -> a tuple with
    the cotangent of every differentiable argument, None for zero. Forward mode transposes the backward rule.

    >>> import fnn, fnn.numpy as fnp
    >>> @fnn.custom_vjp
    ... def clip_gradient(x):
    ...     return x
    >>> clip_gradient.defvjp(lambda x: (x, None), lambda _, g: (fnp.clip(g, -1.0, 1.0),))
    >>> print(fnn.grad(lambda x: 5.0 * clip_gradient(x))(2.0))
    1.0
    """

    forward: Callable[..., Any] | None = None
    backward: Callable[..., Any]
    symbolic_zeros = False

    def defvjp(
        self,
        fwd: Callable[..., Any],
        bwd: Callable[..., Any],
        symbolic_zeros: bool = False,
        optimize_remat: bool = False,
    ) -> None:
        """With symbolic_zeros, fwd gets a `CustomVJPPrimal` for each array, which says whether it is differentiated;
        cotangents are arrays either way. optimize_remat is accepted: a compiled program computes only what is used anyway."""
        self.forward, self.backward, self.symbolic_zeros = fwd, bwd, symbolic_zeros

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.forward is None:
            raise MissingRuleError(
                f"custom_vjp {function_place(self.f)} has no rules yet: define them with defvjp"
            )
        fixed, dynamic, merge = self._split(self._bind(args, kwargs))
        leaves, structure = flatten_arguments(f"custom_vjp {function_place(self.f)}", dynamic)
        box: list[Any] = []
        kept: list[Any] = []

        def fun(*xs: Any) -> list[Any]:
            outs, box[:] = _outputs(self.f, self.f(*merge(tree.unflatten(structure, xs))))
            return outs

        def forward(*xs: Any) -> Any:
            given = marked(xs) if self.symbolic_zeros else xs
            pair = self.forward(*merge(tree.unflatten(structure, given)))  # type: ignore[misc]  # it is set
            if not isinstance(pair, tuple) or len(pair) != 2:
                raise ArgumentError(
                    f"the forward rule {function_place(self.forward)} must return (out, saved)"
                )
            outs, box[:] = _outputs(self.forward, pair[0])
            leaves, kept_structure = tree.flatten(pair[1])
            plain = [x if type(x) in SCALAR_TYPES else None for x in leaves]  # Python's numbers stay such
            saved = [x for x, known in zip(leaves, plain, strict=True) if known is None]
            kept[:] = [kept_structure, plain]
            return outs, flatten_result("custom_vjp", self.forward, saved)[0]

        def backward(saved: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
            rest = iter(saved)
            full = [next(rest) if known is None else known for known in kept[1]]
            found = self.backward(*fixed, tree.unflatten(kept[0], full), tree.unflatten(box[0], cts))
            return self._cotangents(found, dynamic)

        name = getattr(self.f, "__name__", "custom_vjp")
        if state.stage is None:
            outs = custom_vjp_call(*leaves, fun=fun, forward=forward, backward=backward, name=name)
        else:
            closed = close_vjp(leaves, fun, forward, backward)
            outs = custom_vjp_call(*closed.args, **closed.params, name=name)
        return tree.unflatten(box[0], outs)

    def _cotangents(self, found: Any, dynamic: tuple) -> list[Any]:
        """One cotangent or None per leaf of the arguments; None may stand for a whole argument."""
        what = f"the backward rule {function_place(self.backward)}"
        if not isinstance(found, (tuple, list)) or len(found) != len(dynamic):
            got = len(found) if isinstance(found, (tuple, list)) else type(found).__name__
            raise ArgumentError(
                f"{what} must return a tuple with one cotangent for each of the {len(dynamic)} differentiable "
                f"argument(s); got {got}"
            )
        out: list[Any] = []
        for i, (ct, arg) in enumerate(zip(found, dynamic, strict=True)):
            leaves, structure = tree.flatten(arg)
            if ct is None:
                out += [None] * len(leaves)
                continue
            cts, same = flatten_result("custom_vjp", self.backward, instantiated(ct))
            if same != structure:
                raise TreeError(
                    f"{what}: the cotangent of argument {i} has structure {same}, the argument {structure}"
                )
            for c, x in zip(cts, leaves, strict=True):
                have, want = c.aval, aval_of(as_array(x))
                if not want.is_inexact:
                    out.append(None)
                    continue
                if have.shape != want.shape:
                    raise MismatchError(
                        f"{what}: the cotangent of argument {i} is {have}, the argument {want}"
                    )
                out.append(P.convert(c, dtype=want.dtype) if have.dtype != want.dtype else c)
        return out


def custom_gradient(fun: Callable[..., Any]) -> Callable[..., Any]:
    """f(*args) returns (value, pull) where pull(ct) gives the cotangent(s) of args: derivative and value in
    one function.

    The function runs again for the backward pass; its pull must be computed from the arguments."""

    @custom_vjp
    @functools.wraps(fun)
    def wrapped(*args: Any) -> Any:
        return fun(*args)[0]

    def forward(*args: Any) -> Any:
        return fun(*args)[0], args

    def backward(args: tuple, ct: Any) -> tuple:
        found = fun(*args)[1](ct)
        return found if isinstance(found, tuple) else (found,)

    wrapped.defvjp(forward, backward)
    return wrapped
