"""Keys that are used twice: the same random numbers where independent ones are meant.

A key is *used* by what draws numbers from it and by split; not by fold_in, clone or key_data. Outside of jit an array that
is a key remembers its first use, and so does a place of an array of keys; a compiled function says, the first times it is
called, which of its arguments it uses. Inside, uses are noted beside the variables of the graph, and `check` follows them
once the graph is whole: through the moves that pick a key out of several, through calls and branches, and around loops, of
which every round uses a key again that does not change from round to round.

What is done about it: the setting `debug_key_reuse`, which is "warn", "error" or "off".
"""

from __future__ import annotations

import contextlib
import functools
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np

from fnn.config import config
from fnn.core.array import ConcreteArray
from fnn.core.ir import Atom, Equation, Graph, Literal, Var, subgraphs
from fnn.core.lowering import Loop
from fnn.core.source import Source, describe, here
from fnn.core.trace import Stage, Tracer, state
from fnn.errors import KeyReuseError, KeyReuseWarning

F = TypeVar("F", bound=Callable[..., Any])


class Use(NamedTuple):
    """What used a key, and where the user called it."""

    what: str
    source: Source | None

    def __str__(self) -> str:
        return f"random.{self.what} at {describe(self.source)}"


class _Nesting(threading.local):
    inside = False
    rounds = 0  # loops of several rounds around what is traced


_nesting = _Nesting()
_of_variables: dict[int, tuple[weakref.ref[Var], list[Use]]] = {}  # by the variable's id
# what a concrete key is known by -> (what keeps that true, the stage it was used in, its first use)
_of_arrays: dict[tuple[int, ...], tuple[weakref.ref[Any], weakref.ref[Stage] | None, Use]] = {}
_told: set[tuple[Any, Any]] = set()


def uses_key(f: F) -> F:
    """Mark a function of fnn.random that uses the key it is given first; what it calls uses the same key once. Such a
    function accepts JAX's `out_sharding`, which says nothing here: there is one device."""

    @functools.wraps(f)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            kwargs.pop("out_sharding", None)
        if _nesting.inside or config.debug_key_reuse == "off":
            return f(*args, **kwargs)
        _nesting.inside = True
        try:
            _note(args[0] if args else kwargs.get("key"), f.__name__)
            return f(*args, **kwargs)
        finally:
            _nesting.inside = False

    return cast(F, wrapper)


def _note(key: Any, what: str) -> None:
    while type(key) is Tracer and type(key.trace) is not Stage:
        key = key.value  # what grad or vmap sees stands for an array further out
    if type(key) is Tracer:
        # the variable of the innermost graph: a body that is traced again uses the key in its last graph alone
        variable = state.stage.atom(key) if state.stage is not None and key.trace.alive else None
        if isinstance(variable, Var):
            number = id(variable)
            if number not in _of_variables:
                reference = weakref.ref(variable, lambda _: _of_variables.pop(number, None))
                _of_variables[number] = reference, []
            _of_variables[number][1].append(Use(what, here()))
    elif type(key) is ConcreteArray:
        use = Use(what, here())
        if state.stage is not None and _nesting.rounds:
            report(use, use, loop=True)
        else:
            _note_array(key, use)


def _note_array(key: ConcreteArray, use: Use) -> None:
    (owner, number), stage = _identity(key), state.stage
    known = _of_arrays.get(number)
    if known is None or known[0]() is not owner or not _is(known[1], stage):
        within = None if stage is None else weakref.ref(stage)
        _of_arrays[number] = weakref.ref(owner, lambda _: _of_arrays.pop(number, None)), within, use
    elif known[2] is not use:  # the same function, compiled, called again is meant: it is timed, say
        report(known[2], use)


def of_inputs(graph: Graph) -> tuple[tuple[int, Use], ...]:
    """(number of an input, what the graph uses it for) where that is a key."""
    if config.debug_key_reuse == "off" or not _of_variables:
        return ()
    return tuple([(made[1], use) for made, use in _uses(graph) if made[0] == "input"])


def note_call(uses: Sequence[tuple[int, Use]], leaves: Sequence[Any]) -> None:
    """A compiled function was called: it uses these of its arguments."""
    if config.debug_key_reuse != "off":
        for i, use in uses:
            if i < len(leaves) and type(leaves[i]) is ConcreteArray:
                _note_array(leaves[i], use)


def _identity(key: ConcreteArray) -> tuple[Any, tuple[int, ...]]:
    """(what must live for it to hold, numbers): `keys[0]` is the same key each time, a place in the memory of `keys`;
    any other array is itself."""
    value = key.value
    root: Any = value
    while getattr(root, "base", None) is not None:
        root = root.base
    if isinstance(root, np.ndarray) and root.nbytes > value.nbytes:
        return root, (id(root), value.ctypes.data, value.nbytes)
    return key, (id(key),)


@contextlib.contextmanager
def every_round(several: bool) -> Iterator[None]:
    """Inside the block the body of a loop is traced: a key that it closes over is used again in each round."""
    _nesting.rounds += several
    try:
        yield
    finally:
        _nesting.rounds -= several


def _is(within: weakref.ref[Stage] | None, stage: Stage | None) -> bool:
    return stage is None if within is None else stage is not None and within() is stage


def report(first: Use, second: Use, loop: bool = False) -> None:
    """Say that a key was used twice, as the setting asks."""
    if loop:
        text = (
            f"the loop around {second} uses the same key in every round. Split it into one for each round, or fold the "
            "number of the round in: random.fold_in(key, i)"
        )
    else:
        text = (
            f"{second} uses a key that {first} has used: both get the same random bits. Split it first, "
            "key, use = random.split(key), or say that it is meant with random.clone(key)"
        )
    if config.debug_key_reuse == "error":
        raise KeyReuseError(text)
    places = (first.source, second.source)
    if places not in _told:
        _told.add(places)
        warnings.warn(
            f"{text}. (FNN_DEBUG_KEY_REUSE=off silences this, =error makes it an error.)",
            KeyReuseWarning,
            stacklevel=4,
        )


# -- graphs --------------------------------------------------------------------------------------------------


def check(graph: Graph) -> None:
    """Report the keys that a whole graph uses twice."""
    if config.debug_key_reuse != "off" and _of_variables:
        _uses(graph)


class _Values:
    """Numbers for values of a graph: equal for what is moved alike from the same place. Only what is asked for is
    numbered."""

    def __init__(self, graph: Graph):
        self.made: dict[Any, int] = {}
        self.keys: list[Any] = []
        self.of: dict[Var, int] = {v: self.number(("input", i)) for i, v in enumerate(graph.inputs)}
        self.moves = {e.outputs[0]: e for e in graph.equations if e.primitive.name in _MOVES}

    def number(self, key: Any) -> int:
        found = self.made.get(key)
        if found is None:
            found = self.made[key] = len(self.keys)
            self.keys.append(key)
        return found

    def atom(self, a: Atom) -> int:
        if type(a) is Literal:
            return self.number(("constant", str(a.aval), np.asarray(a.value).tobytes()))
        variable = cast(Var, a)
        found = self.of.get(variable)
        if found is None:
            eqn = self.moves.get(variable)
            if eqn is None:
                key: Any = variable
            else:
                operands = tuple([self.atom(x) for x in eqn.inputs])
                key = (eqn.primitive.name, tuple(eqn.params.items()), operands)
            found = self.of[variable] = self.number(key)
        return found


def _uses(graph: Graph) -> list[tuple[Any, Use]]:
    """The uses of what a graph gets from outside: (how the key is made of its inputs, the use)."""
    return graph.cached("uses of keys", lambda: _find(graph))


def _find(graph: Graph) -> list[tuple[Any, Use]]:
    values = _Values(graph)
    used: dict[int, Use] = {}

    def note(number: int, use: Use) -> None:
        first = used.setdefault(number, use)
        if first is not use:
            report(first, use)

    known = _of_variables
    outputs = [v for e in graph.equations for v in e.outputs if id(v) in known]
    for v in (*[v for v in graph.inputs if id(v) in known], *outputs):
        for use in known[id(v)][1]:
            note(values.atom(v), use)
    for eqn in graph.equations:
        if not isinstance(eqn.primitive.lower, Loop):
            continue
        for operands, inner in _inner(eqn):
            for made, use in inner:
                note(_lifted(values, made, operands), use)
        if eqn.primitive.name in ("scan", "while"):
            _check_rounds(eqn)
    out = []
    for number, use in used.items():
        made = _from_inputs(values, number)
        if made is not None:
            out.append((made, use))
    return out


def _inner(eqn: Equation) -> Iterator[tuple[Sequence[Atom], list[tuple[Any, Use]]]]:
    """(operands, uses of them) of the graphs that an equation holds; of branches one runs."""
    name, p = eqn.primitive.name, eqn.params
    if name == "cond":
        found: dict[Any, Use] = {}
        for branch in p["branches"]:
            for made, use in _uses(branch):
                found.setdefault(made, use)
        yield eqn.inputs[1:], list(found.items())
    elif name == "while":
        cut, last = p["cond_consts"], p["cond_consts"] + p["body_consts"]
        yield [*eqn.inputs[:cut], *eqn.inputs[last:]], _uses(p["test"])
        yield eqn.inputs[cut:], _uses(p["body"])
    else:
        for _, graph in subgraphs(p):
            if len(graph.inputs) == len(eqn.inputs):
                yield eqn.inputs, _uses(graph)


def _check_rounds(eqn: Equation) -> None:
    """Keys that a loop's body uses and that are the same in the next round."""
    p = eqn.params
    if eqn.primitive.name == "scan":
        body, consts, carry = p["graph"], p["consts"], p["carry"]
        if p["length"] < 2:
            return
    else:
        body, consts = p["body"], p["body_consts"]
        carry = len(body.outputs)
    same = set(range(consts))
    same |= {consts + k for k in range(carry) if body.outputs[k] is body.inputs[consts + k]}
    for made, use in _uses(body):
        if _inputs_of(made) <= same:
            report(use, use, loop=True)


def _from_inputs(values: _Values, number: int) -> Any:
    """How a value is made of a graph's inputs by moving alone, as nested tuples; None if it is not."""
    key = values.keys[number]
    if isinstance(key, Var):
        return None
    if key[0] in ("input", "constant"):
        return key
    if key[0] not in _MOVES:
        return None
    operands = [_from_inputs(values, n) for n in key[2]]
    return None if None in operands else (key[0], key[1], tuple(operands))


_MOVES = (
    "slice",
    "reshape",
    "transpose",
    "bitcast",
    "gather",
    "dynamic_slice",
    "convert",
    "broadcast",
    "concatenate",
)


def _lifted(values: _Values, made: Any, operands: Sequence[Atom]) -> int:
    """The number of such a value where the graph is called."""
    if made[0] == "input":
        return values.atom(operands[made[1]])
    if made[0] == "constant":
        return values.number(made)
    return values.number((made[0], made[1], tuple([_lifted(values, m, operands) for m in made[2]])))


def _inputs_of(made: Any) -> set[int]:
    if made[0] == "input":
        return {made[1]}
    return set().union(*[_inputs_of(m) for m in made[2]]) if made[0] != "constant" else set()
