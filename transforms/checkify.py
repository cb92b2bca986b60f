"""checkify: a function whose failed checks are a value beside its result, instead of exceptions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from fnn import primitives as P
from fnn import tree
from fnn.config import config
from fnn.core.array import as_array
from fnn.core.aval import Aval
from fnn.core.ir import Atom, Equation, Graph, Literal, Var
from fnn.core.primitive import Primitive
from fnn.core.source import current, function_place
from fnn.core.trace import aval_of, closed_stage, shape_of
from fnn.core.tracebacks import filtered
from fnn.transforms.calls import jit_call, staged
from fnn.transforms.checks import Site, check, check_p
from fnn.transforms.control import cond_p
from fnn.transforms.flattening import call_name, flatten_arguments
from fnn.transforms.passes.dce import dce
from fnn.transforms.passes.inline import decomposed
from fnn.transforms.scan import scan_p
from fnn.transforms.while_loop import split, while_p

ErrorCategory = str
user_checks = frozenset({"user"})
nan_checks = frozenset({"nan"})
div_checks = frozenset({"div"})
index_checks = frozenset({"index"})
float_checks = nan_checks | div_checks
automatic_checks = float_checks | index_checks
all_checks = automatic_checks | user_checks

INT32 = np.dtype("int32")
_UNCHANGED = (
    "broadcast",
    "reshape",
    "transpose",
    "slice",
    "rev",
    "concatenate",
    "convert",
    "copy",
    "stop_gradient",
)


class Error:
    """What went wrong first, as a value: a pytree of arrays, so that it passes through jit, vmap and scan."""

    def __init__(self, code: Any, payloads: Sequence[Sequence[Any]], sites: tuple[Site, ...]):
        self._code, self._payloads, self._sites = code, payloads, sites

    def _first(self) -> tuple[int, tuple[int, ...]]:
        """(number of the check that failed, 0 for none; where in a batch)."""
        codes = np.asarray(self._code)
        failed = np.argwhere(codes != 0)
        return (int(codes[tuple(failed[0])]), tuple(map(int, failed[0]))) if len(failed) else (0, ())

    def exception(self) -> Exception | None:
        """The exception of the first check that failed, or None."""
        code, at = self._first()
        if not code:
            return None
        found = self._sites[code - 1].error([np.asarray(v)[at] for v in self._payloads[code - 1]])
        if at:
            found = type(found)(f"at mapped index {at[0] if len(at) == 1 else at}: {found}")
        return found

    def get(self) -> str | None:
        """What the first check that failed says, or None."""
        error = self.exception()
        return None if error is None else str(error)

    def throw(self) -> None:
        """Raise it, if a check failed."""
        error = self.exception()
        if error is not None:
            raise error

    def __repr__(self) -> str:
        return (
            f"Error({type(self._code).__name__ if not isinstance(self._code, np.ndarray) else self.get()!r})"
        )


def _error_of(sites: Any, children: Any) -> Error:
    code, payloads = children
    return Error(code, payloads, sites)


tree.register_pytree_node(Error, lambda e: ((e._code, e._payloads), e._sites), _error_of)


def init_error() -> Error:
    """An error in which nothing is wrong."""
    return Error(as_array(np.int32(0)), [], ())


class _Checking:
    """Runs the equations of a graph with the checks that are asked for. sites, payloads: the checks met, and the values
    their messages show; code: the number of the first that failed, from 1; 0 if none has."""

    def __init__(self, kinds: frozenset[str]):
        self.kinds = kinds
        self.sites: list[Site] = []
        self.payloads: list[list[Any]] = []
        self.code: Any = as_array(np.int32(0))

    def run(self, graph: Graph, args: Sequence[Any]) -> list[Any]:
        env: dict[Var, Any] = dict(zip(graph.inputs, args, strict=True))

        def read(atom: Atom) -> Any:
            return atom.value if type(atom) is Literal else env[atom]  # type: ignore[index]  # a Var

        outer = current.source
        try:
            for eqn in graph.equations:
                current.source = eqn.source or outer
                outs = self.equation(eqn, [read(a) for a in eqn.inputs])
                env.update(zip(eqn.outputs, outs, strict=True))
        finally:
            current.source = outer
        return [read(a) for a in graph.outputs]

    def equation(self, eqn: Equation, args: list[Any]) -> list[Any]:
        rule = _RULES.get(eqn.primitive.name)
        if rule is not None:
            return rule(self, eqn, args)
        if "div" in self.kinds and eqn.primitive.name in ("div", "rem"):
            zero = P.eq(args[1], np.zeros((), aval_of(args[1]).dtype))
            self.add(zero, [], Site("div", lambda: "division by zero", eqn.source))
        out = eqn.primitive(*args, **eqn.params)
        outs = list(out) if eqn.primitive.multiple else [out]
        if "nan" in self.kinds and eqn.primitive.name not in _UNCHANGED:
            name = eqn.primitive.name
            for o in outs:
                if aval_of(o).is_inexact:
                    self.add(
                        P.ne(o, o), [], Site("nan", lambda: f"nan generated by primitive: {name}", eqn.source)
                    )
        return outs

    def check(self, eqn: Equation, args: list[Any]) -> list[Any]:
        site = eqn.params["site"]
        if site.kind not in self.kinds:
            return check_p(*args, **eqn.params)
        bad = P.not_(args[0])
        shape, values = shape_of(bad), args[1:]
        if shape:  # the values at the first place that fails
            rank, count = len(shape), int(np.prod(shape))
            if not count:
                return []
            flat = P.reshape(bad, shape=(count,))
            places = P.select(flat, P.iota(dtype=INT32, shape=(count,), dimension=0), np.int32(count - 1))
            first = P.reduce_min(places, axes=(0,))
            rows = [P.reshape(v, shape=(count, *shape_of(v)[rank:])) for v in values]
            values = [
                P.reshape(
                    P.dynamic_slice(
                        r, first, *[np.int32(0)] * (len(shape_of(r)) - 1), sizes=(1, *shape_of(r)[1:])
                    ),
                    shape=shape_of(r)[1:],
                )
                for r in rows
            ]
        self.add(bad, values, site)
        return []

    def add(self, bad: Any, values: list[Any], site: Site) -> None:
        """A check, which fails where bad holds anywhere."""
        axes = tuple(range(len(shape_of(bad))))
        failed = P.reduce_or(bad, axes=axes) if axes else bad
        self.sites.append(site)
        self.payloads.append(values)
        self.note(P.select(failed, np.int32(len(self.sites)), np.int32(0)))

    def note(self, code: Any) -> None:
        self.code = P.select(P.eq(self.code, np.int32(0)), code, self.code)

    def inside(
        self, graph: Graph, found: Sequence[Any], sites: Sequence[Site], shapes: Sequence[int]
    ) -> list[Any]:
        """Take the error of a checked graph from its results; the results proper are left."""
        size, offset = len(graph.outputs), len(self.sites)
        code, rest = found[size], list(found[size + 1 :])
        self.note(_moved(code, offset))
        self.sites += sites
        self.payloads += split(rest, *shapes)[:-1]
        return list(found[:size])

    def call(self, eqn: Equation, args: list[Any]) -> list[Any]:
        """jit, remat, and custom derivatives, of which the function is left."""
        name = "graph" if "graph" in eqn.params else "fun"
        inner, sites, shapes = checked(eqn.params[name], self.kinds)
        if not sites:
            return eqn.primitive(*args, **eqn.params)
        call: Primitive = eqn.primitive if name == "graph" else jit_call
        params = (
            {**eqn.params, "graph": inner}
            if name == "graph"
            else {"graph": inner, "name": eqn.params["name"]}
        )
        return self.inside(eqn.params[name], call(*args, **params), sites, shapes)

    def cond(self, eqn: Equation, args: list[Any]) -> list[Any]:
        branches = eqn.params["branches"]
        parts = [checked(g, self.kinds) for g in branches]
        if not any(sites for _, sites, _ in parts):
            return eqn.primitive(*args, **eqn.params)
        size = len(branches[0].outputs)
        types = [[a.strong() for a in g.out_avals[size + 1 :]] for g, _, _ in parts]

        def branch(i: int) -> Callable[..., list[Any]]:
            def f(*xs: Any) -> list[Any]:
                found = parts[i][0](*xs)
                code = _moved(found[size], sum(len(s) for _, s, _ in parts[:i]))
                rest = [
                    x
                    for j, avals in enumerate(types)
                    for x in (found[size + 1 :] if i == j else map(P.zeros, avals))
                ]
                return [
                    *_strong(found[:size], branches[0].out_avals),
                    code,
                    *_strong(rest, [a for t in types for a in t]),
                ]

            return f

        graphs = tuple([closed_stage(branch(i), g.in_avals) for i, g in enumerate(branches)])
        found = cond_p(*args, branches=graphs)
        return self.inside(
            branches[0], found, [s for _, ss, _ in parts for s in ss], [n for _, _, ns in parts for n in ns]
        )

    def scan(self, eqn: Equation, args: list[Any]) -> list[Any]:
        """The errors of all steps are stacked; the first counts."""
        p = eqn.params
        inner, sites, shapes = checked(p["graph"], self.kinds)
        if not sites or not p["length"]:
            return eqn.primitive(*args, **p)
        size = len(p["graph"].outputs)
        found = scan_p(*args, **{**p, "graph": inner})
        codes = found[size]
        steps = P.iota(dtype=INT32, shape=(p["length"],), dimension=0)
        if p["reverse"]:
            steps = P.sub(np.int32(p["length"] - 1), steps)
        failed = P.ne(codes, np.int32(0))
        first = P.reduce_min(P.select(failed, steps, np.int32(p["length"] - 1)), axes=(0,))
        if p["reverse"]:
            first = P.sub(np.int32(p["length"] - 1), first)

        def at(x: Any) -> Any:
            shape = shape_of(x)
            row = P.dynamic_slice(x, first, *[np.int32(0)] * (len(shape) - 1), sizes=(1, *shape[1:]))
            return P.reshape(row, shape=shape[1:])

        return self.inside(p["graph"], [*found[:size], *map(at, found[size:])], sites, shapes)

    def bounded(self, eqn: Equation, args: list[Any]) -> list[Any]:
        """A while loop of at most so many steps, as one that counts."""
        return self.run(decomposed(eqn), args)

    def loop(self, eqn: Equation, args: list[Any]) -> list[Any]:
        """while: the error is carried along. The test is checked before the loop and after each step."""
        p = eqn.params
        left, right, carry = split(args, p["cond_consts"], p["body_consts"])
        test, tested, test_shapes = checked(p["test"], self.kinds)
        body, sites, shapes = checked(p["body"], self.kinds)
        if not sites and not tested:
            return eqn.primitive(*args, **p)
        size, kinds, lefts = len(p["body"].outputs), self.kinds, len(left)

        def step(*xs: Any) -> list[Any]:  # the constants of both, the carry, the code and the payloads
            mine, rest = list(xs[: lefts + len(right) + size]), list(xs[lefts + len(right) + size :])
            inner = _Checking(kinds)
            new = inner.inside(p["body"], body(*mine[lefts:]), sites, shapes)
            inner.inside(p["test"], test(*mine[:lefts], *new), tested, test_shapes)
            fresh = P.eq(rest[0], np.int32(0))
            values = [x for part in inner.payloads for x in part]
            kept = [P.select(_spread(fresh, a), a, b) for a, b in zip(values, rest[1:], strict=True)]
            return [*new, P.select(fresh, inner.code, rest[0]), *kept]

        if tested:
            self.inside(p["test"], test(*left, *carry), tested, test_shapes)
        avals = [
            a.strong()
            for g in (body, test)
            for a in g.out_avals[len(p["body"].outputs) + 1 if g is body else 2 :]
        ]
        state = [as_array(np.int32(0)), *map(P.zeros, avals)]
        ins = [*p["test"].in_avals[:lefts], *p["body"].in_avals, Aval((), INT32), *avals]
        wide = closed_stage(step, ins)
        extra = [Var(a) for a in (Aval((), INT32), *avals)]
        watched = dce(Graph([*test.inputs, *extra], test.outputs[:1], test.equations))
        found = while_p(
            *left,
            *left,
            *right,
            *carry,
            *state,
            test=watched,
            body=wide,
            cond_consts=lefts,
            body_consts=lefts + len(right),
        )
        return self.inside(p["body"], found, [*sites, *tested], [*shapes, *test_shapes])


def _moved(code: Any, offset: int) -> Any:
    return P.select(P.eq(code, np.int32(0)), code, P.add(code, np.int32(offset))) if offset else code


def _spread(flag: Any, like: Any) -> Any:
    shape = tuple(shape_of(like))
    return P.broadcast(flag, shape=shape, axes=()) if shape else flag


def _strong(values: Sequence[Any], avals: Sequence[Aval]) -> list[Any]:
    return [
        P.convert(x, dtype=a.dtype) if aval_of(x).weak_type else x for x, a in zip(values, avals, strict=True)
    ]


_RULES: dict[str, Callable[[_Checking, Equation, list[Any]], list[Any]]] = {
    "check": _Checking.check,
    "jit": _Checking.call,
    "remat": _Checking.call,
    "custom_jvp": _Checking.call,
    "custom_vjp": _Checking.call,
    "custom_vmap": _Checking.call,
    "cond": _Checking.cond,
    "scan": _Checking.scan,
    "while": _Checking.loop,
    "bounded_while": _Checking.bounded,
}


def checked(graph: Graph, kinds: frozenset[str]) -> tuple[Graph, tuple[Site, ...], tuple[int, ...]]:
    """(graph with the number of the first check that failed and the values of all checks' messages as further results;
    the checks; how many values each has)."""

    def make() -> tuple[Graph, tuple[Site, ...], tuple[int, ...]]:
        box: list[_Checking] = []

        def f(*xs: Any) -> list[Any]:
            checking = _Checking(kinds)
            outs = checking.run(graph, xs)
            box[:] = [checking]
            values = [x for part in checking.payloads for x in part]
            return [*outs, checking.code, *[P.convert(v, dtype=aval_of(v).dtype) for v in values]]

        found = closed_stage(f, graph.in_avals)
        return found, tuple(box[0].sites), tuple(map(len, box[0].payloads))

    return graph.cached(("checked", kinds), make)


def checkify(
    f: Callable[..., Any], errors: Iterable[ErrorCategory] = user_checks
) -> Callable[..., tuple[Error, Any]]:
    """A function that returns (error, what f returns): failed checks are a value, which `error.throw()` raises.

    errors: which checks: user_checks (`check`), nan_checks, div_checks, index_checks, or a union of them: float_checks,
    automatic_checks, all_checks. Works with jit, vmap and grad in any order; f is traced as by jit.

    >>> import fnn, fnn.numpy as fnp
    >>> from fnn.experimental import checkify
    >>> f = checkify.checkify(lambda x, i: fnp.log(x)[i], errors=checkify.index_checks | checkify.nan_checks)
    >>> error, out = fnn.jit(f)(fnp.array([1.0, -1.0]), 0)
    >>> print(out, error.get().split(" (")[0])
    0.0 nan generated by primitive: log
    """
    kinds = frozenset(errors)

    @functools.wraps(f)
    @filtered
    def wrapped(*args: Any, **kwargs: Any) -> tuple[Error, Any]:
        what = f"checkify of {function_place(f)}"
        leaves, structure = flatten_arguments(what, (args, kwargs), lambda i: call_name(args, kwargs, i))
        with config.using(check_indices=config.check_indices or "index" in kinds):
            graph, captured, out = staged(
                functools.wraps(f)(lambda xs, keywords: f(*xs, **keywords)),
                structure,
                [x.aval for x in leaves],
            )
            inner, sites, shapes = checked(graph, kinds)
            found = jit_call(*leaves, *captured, graph=inner, name=getattr(f, "__name__", "checkify"))
        size = len(graph.outputs)
        error = Error(found[size], split(found[size + 1 :], *shapes)[:-1], sites)
        return error, tree.unflatten(out, found[:size])

    return wrapped


class _Again(Site):
    """The checks of an error that was a value: the values are the number of the one that failed, and all of theirs."""

    __slots__ = ("sites", "counts")

    def __init__(self, sites: Sequence[Site], counts: Sequence[int]):
        super().__init__("user", lambda *_: "", None)
        self.sites, self.counts = tuple(sites), tuple(counts)

    def error(self, values: Sequence[Any]) -> Exception:
        number = int(values[0]) - 1
        return self.sites[number].error(split(values[1:], *self.counts)[number])


@filtered
def check_error(error: Error) -> None:
    """Raise an error that is a value where the program runs; inside another `checkify` it becomes a value there."""
    sites, counts = error._sites, [len(p) for p in error._payloads]
    values = [x for part in error._payloads for x in part]
    if not sites:
        return

    check_p(P.eq(error._code, np.int32(0)), error._code, *values, site=_Again(sites, counts))


def debug_check(pred: Any, msg: str, *args: Any, **kwargs: Any) -> None:
    """`check` where errors are values (inside `checkify`); nothing elsewhere."""
    check(pred, msg, *args, debug=True, **kwargs)


__all__ = [
    "Error", "ErrorCategory", "all_checks", "automatic_checks", "check", "check_error", "checkify", "debug_check",
    "div_checks", "float_checks", "index_checks", "init_error", "nan_checks", "user_checks",
]  # fmt: skip
