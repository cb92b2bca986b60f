"""checkpoint (remat): trade memory for time in reverse mode."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from fnn import tree
from fnn.core.ir import Equation
from fnn.core.lowering import Contraction, IndexMap
from fnn.core.primitive import Primitive, Sample
from fnn.core.source import function_place
from fnn.core.trace import aval_of
from fnn.core.tracebacks import filtered
from fnn.errors import ArgumentError
from fnn.transforms.calls import remat_call, save_nothing, staged
from fnn.transforms.flattening import call_name, flatten_arguments


def checkpoint(
    fun: Callable[..., Any] | None = None,
    *,
    prevent_cse: bool = True,
    policy: Callable[[Equation], bool] | None = None,
    static_argnums: int | Sequence[int] = (),
) -> Callable[..., Any]:
    """f, whose intermediate values are computed again in the backward pass instead of being saved. Also
    called `remat`.

    policy: which equations' results may be saved all the same; see `checkpoint_policies`. static_argnums:
    positions of arguments that are not arrays. prevent_cse is accepted; recomputation is always kept apart
    from the forward pass.

    >>> import fnn, fnn.numpy as fnp
    >>> print(fnn.grad(fnn.checkpoint(lambda x: fnp.sin(fnp.sin(x))))(0.0))
    1.0
    """
    if fun is None:
        return functools.partial(
            checkpoint, prevent_cse=prevent_cse, policy=policy, static_argnums=static_argnums
        )
    fixed = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)

    @functools.wraps(fun)
    @filtered
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if any(not -len(args) <= i < len(args) for i in fixed):
            raise ArgumentError(
                f"checkpoint of {function_place(fun)}: static_argnums {fixed} for {len(args)} positional argument(s)"
            )
        places = {i % len(args) for i in fixed}
        dynamic = tuple(a for i, a in enumerate(args) if i not in places)

        def call(xs: tuple, named: dict[str, Any]) -> Any:
            rest = iter(xs)
            return fun(*[args[i] if i in places else next(rest) for i in range(len(args))], **named)

        leaves, structure = flatten_arguments(
            "checkpoint", (dynamic, kwargs), lambda i: call_name(dynamic, kwargs, i)
        )
        graph, captured, out = staged(
            functools.wraps(fun)(call),
            structure,
            [x.aval for x in leaves],
            lambda i: call_name(dynamic, kwargs, i),
        )
        outs = remat_call(
            *leaves,
            *captured,
            graph=graph,
            name=getattr(fun, "__name__", "remat"),
            policy=policy or save_nothing,
        )
        return tree.unflatten(out, outs)

    return wrapped


# -- naming values, for policies -----------------------------------------------------------------------------

name_p = Primitive(
    "name",
    shape=lambda x, name: x,
    evaluate=lambda x, name: x,
    jvp=lambda primals, tangents, p: (name_p(*primals, **p), tangents[0]),
    vjp=lambda needs, args, p: (name_p(*args, **p), lambda ct: [ct]),
    batch=lambda frame, flags, args, p: (name_p(*args, **p), True),
    lower=IndexMap("identity"),
    samples=lambda: [Sample((spec,), {"name": "hidden"}) for spec in ("f4[3]", "i4[2]", "f4[0]")],
)


def checkpoint_name(x: Any, name: str) -> Any:
    """x, under a name that checkpoint policies can refer to."""
    if not isinstance(name, str):
        raise ArgumentError(f"checkpoint_name: the name is a string, not {name!r}")
    return tree.map(lambda leaf: name_p(flatten_arguments("checkpoint_name", leaf)[0][0], name=name), x)


@functools.cache
def _by_name(names: frozenset[str], save: bool) -> Callable[[Equation], bool]:
    def policy(eqn: Equation) -> bool:
        return (eqn.primitive is name_p and eqn.params["name"] in names) is save

    return policy


def save_only_these_names(*names: str) -> Callable[[Equation], bool]:
    """Only values given one of these names with checkpoint_name are saved."""
    return _by_name(frozenset(names), True)


def save_anything_except_these_names(*names: str) -> Callable[[Equation], bool]:
    """Everything is saved but values given one of these names."""
    return _by_name(frozenset(names), False)


def save_everything(eqn: Equation) -> bool:
    """Everything may be saved: as without checkpoint."""
    return True


def save_dots(eqn: Equation) -> bool:
    """Results of matrix products are saved."""
    return isinstance(eqn.primitive.lower, Contraction)


def save_dots_without_batch(eqn: Equation) -> bool:
    """Results of matrix products without batch dimensions are saved."""
    return save_dots(eqn) and not eqn.params["batch"][0]


def save_any_names_but_these(*names: str) -> Callable[[Equation], bool]:
    """Values given another name with checkpoint_name are saved."""
    return lambda eqn: eqn.primitive is name_p and eqn.params["name"] not in names


def save_from_both_policies(
    first: Callable[[Equation], bool], second: Callable[[Equation], bool]
) -> Callable[[Equation], bool]:
    """What either of two policies saves."""
    return lambda eqn: first(eqn) or second(eqn)


checkpoint_policies = SimpleNamespace(
    nothing_saveable=save_nothing,
    everything_saveable=save_everything,
    dots_saveable=save_dots,
    checkpoint_dots=save_dots,
    dots_with_no_batch_dims_saveable=save_dots_without_batch,
    checkpoint_dots_with_no_batch_dims=save_dots_without_batch,
    save_only_these_names=save_only_these_names,
    save_anything_except_these_names=save_anything_except_these_names,
    save_any_names_but_these=save_any_names_but_these,
    save_from_both_policies=save_from_both_policies,
)

remat = checkpoint


def saved_residuals(f: Callable[..., Any], *args: Any) -> list[str]:
    """What the backward pass of f would keep, one line each: type and the user's line, largest first.

    >>> import fnn, fnn.numpy as fnp
    >>> len(saved_residuals(lambda x: fnp.sin(fnp.sin(x)), 1.0)) > 0
    True
    """
    from fnn.core.ir import Var
    from fnn.core.source import short
    from fnn.transforms.rewrite import reach_float, vjp_graphs

    leaves, structure = flatten_arguments("saved_residuals", args)
    graph, captured, _ = staged(f, structure, [x.aval for x in leaves])
    active = tuple(x.aval.is_inexact for x in leaves) + tuple(aval_of(x).is_inexact for x in captured)
    out_active = reach_float(graph, active)
    forward, _, forwarded = vjp_graphs(graph, active, out_active)
    made = {v: e for e in forward.equations for v in e.outputs}
    lines = [
        (graph.in_avals[i].nbytes, f"{graph.in_avals[i]} argument {i} of {function_place(f)}")
        for i in forwarded
    ]
    for atom in forward.outputs[len(graph.outputs) :]:
        maker = made.get(atom) if type(atom) is Var else None
        origin = f"{maker.primitive.name} at {short(maker.source)}" if maker else "an argument"
        lines.append((atom.aval.nbytes, f"{atom.aval} {origin}"))
    return [text for _, text in sorted(lines, key=lambda pair: -pair[0])]
