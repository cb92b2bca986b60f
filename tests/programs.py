"""Random programs: each is run twice, once with control flow and transformations strewn in, once as plain Python.

A program maps a state (v, m), a vector of 3 and a matrix of 2 by 2, to a state. It is a sequence of blocks; a block may
hold others. `transformed(program)` uses scan, cond, jit, vmap, custom rules and so on; `plain(program)` means the same
but uses Python's for, if and while and no transformation at all. Everything is smooth but for kinks, and bounded, so that
finite differences tell its derivatives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

import fnn
import fnn.numpy as fnp
from fnn import lax

State = tuple[Any, Any]
Function = Callable[[State], State]


@dataclass(frozen=True)
class Block:
    """One step: its kind, a constant, and the programs inside of it."""

    kind: str
    c: float
    inner: tuple[Program, ...] = ()

    def __repr__(self) -> str:
        inner = "".join(f", {p!r}" for p in self.inner)
        return f"{self.kind}({self.c}{inner})"


@dataclass(frozen=True)
class Program:
    """Blocks, one after another."""

    blocks: tuple[Block, ...]

    def __repr__(self) -> str:
        return "[" + " ".join(map(repr, self.blocks)) + "]"

    def kinds(self) -> set[str]:
        return {b.kind for b in self.blocks}.union(*(p.kinds() for b in self.blocks for p in b.inner))


def transformed(program: Program) -> Function:
    """The program with its control flow and its transformations."""

    def run(state: State) -> State:
        for block in program.blocks:
            if block.kind in SIMPLE:
                state = SIMPLE[block.kind](block.c, *state)
            else:
                state = NESTED[block.kind][0](block.c, *map(transformed, block.inner), *state)
        return state

    return run


def plain(program: Program) -> Function:
    """The program in plain Python."""

    def run(state: State) -> State:
        for block in program.blocks:
            if block.kind in SIMPLE:
                state = SIMPLE[block.kind](block.c, *state)
            else:
                state = NESTED[block.kind][1](block.c, *map(plain, block.inner), *state)
        return state

    return run


# -- blocks without others: (c, v, m) -> (v, m) ------------------------------------------------------------------------


def _softmax(c: float, v: Any, m: Any) -> State:
    e = fnp.exp(v - fnp.max(v))
    return e / fnp.sum(e) + c, m


def _normalise(c: float, v: Any, m: Any) -> State:
    centred = m - fnp.mean(m, axis=0, keepdims=True)
    return v, centred / fnp.sqrt(1.0 + fnp.mean(centred * centred, axis=0))


def _matrix_vector(c: float, v: Any, m: Any) -> State:
    return fnp.concatenate([fnp.tanh(m @ v[:2]), v[2:] * c]), m


def _count(v: Any) -> Any:
    return fnp.sum((v > 0.1).astype(fnp.int32))


SIMPLE: dict[str, Callable[[float, Any, Any], State]] = {
    "sin": lambda c, v, m: (fnp.sin(v) + c, m),
    "tanh": lambda c, v, m: (v, fnp.tanh(m * c + v[:2])),
    "scale": lambda c, v, m: (fnp.tanh(v * fnp.sum(m)) * c, m),
    "softmax": _softmax,
    "normalise": _normalise,
    "matvec": _matrix_vector,
    "matmul": lambda c, v, m: (v, fnp.tanh(m @ m.T * c)),
    "outer": lambda c, v, m: (v, fnp.sin(v[:2, None] * v[None, 1:])),
    "reverse": lambda c, v, m: (v[::-1] * (1 + c), m),
    "rotate": lambda c, v, m: (fnp.concatenate([v[1:], v[:1]]), m),
    "where": lambda c, v, m: (fnp.where(v > c, fnp.sin(v), fnp.sin(v * v) * 0.5), m),
    "maximum": lambda c, v, m: (fnp.maximum(v, fnp.sin(2.0 * v) + c), m),
    "product": lambda c, v, m: (v + c * fnp.prod(fnp.tanh(m)), m),
    "power": lambda c, v, m: ((1.0 + v * v) ** c, m),
    "log": lambda c, v, m: (fnp.log1p(v**2) - c, m),
    "cumsum": lambda c, v, m: (fnp.tanh(fnp.cumsum(v)), m),
    "transpose": lambda c, v, m: (v, m.T + c),
    "reshape": lambda c, v, m: (v, fnp.sin(m.reshape(4)[::-1]).reshape(2, 2)),
    "stack": lambda c, v, m: (v, fnp.stack([v[:2], v[1:]], axis=1) * c),
    "rows": lambda c, v, m: (fnp.concatenate([m[0], m[1, 1:]]) * c, m),
    "pad": lambda c, v, m: (lax.pad(v[1:], np.zeros((), v.dtype), [(1, 0, 0)]) + c * v, m),
    "largest": lambda c, v, m: (fnp.tanh(v * v[fnp.argmax(v)]), m),
    "window": lambda c, v, m: (v, m * lax.dynamic_slice(v, (_count(v) // 2,), (2,))),
    "sort": lambda c, v, m: (lax.sort(v) * (1 - c), m),
    "divide": lambda c, v, m: (v / (1.5 + fnp.max(m) ** 2), m),
    "counted": lambda c, v, m: (v, m * (1.0 + c * _count(v))),
}


# -- blocks with others: (transformed, plain), each (c, *functions, v, m) -> (v, m) ------------------------------------


def _same(c: float, g: Function, v: Any, m: Any) -> State:
    return g((v, m))


def _cond(c: float, f: Function, g: Function, v: Any, m: Any) -> State:
    return lax.cond(fnp.sum(v) > c, f, g, (v, m))


def _if(c: float, f: Function, g: Function, v: Any, m: Any) -> State:
    return f((v, m)) if fnp.sum(v) > c else g((v, m))


def _switch(c: float, f: Function, g: Function, v: Any, m: Any) -> State:
    return lax.switch(_count(v), [f, g, lambda s: (s[0] * c, s[1])], (v, m))


def _choose(c: float, f: Function, g: Function, v: Any, m: Any) -> State:
    return [f, g, lambda s: (s[0] * c, s[1])][min(int(_count(v)), 2)]((v, m))


def _offsets(c: float, v: Any) -> Any:
    return fnp.asarray(np.array([[c, 0.1, -c], [0.2, c, c]]), dtype=v.dtype)


def _scan(reverse: bool) -> Callable[..., State]:
    def block(c: float, g: Function, v: Any, m: Any) -> State:
        def step(state: State, x: Any) -> tuple[State, tuple[Any, Any]]:
            a, b = g((state[0] + x, state[1]))
            return (a, b), (a * c, fnp.sum(b))

        (a, b), (ys, totals) = lax.scan(step, (v, m), _offsets(c, v), reverse=reverse)
        return a + fnp.tanh(ys[0] - ys[1]), b * fnp.sin(totals)

    return block


def _for(reverse: bool) -> Callable[..., State]:
    def block(c: float, g: Function, v: Any, m: Any) -> State:
        rows = {}
        for i in (1, 0) if reverse else (0, 1):
            v, m = g((v + _offsets(c, v)[i], m))
            rows[i] = v * c, fnp.sum(m)
        return v + fnp.tanh(rows[0][0] - rows[1][0]), m * fnp.sin(fnp.stack([rows[0][1], rows[1][1]]))

    return block


def _step(c: float, g: Function, i: Any, v: Any, m: Any) -> State:
    a, b = g((v, m))
    return a + c * i, b


def _fori(c: float, g: Function, v: Any, m: Any) -> State:
    return lax.fori_loop(1, 4, lambda i, s: _step(c, g, i, *s), (v, m))


def _for_range(c: float, g: Function, v: Any, m: Any) -> State:
    for i in range(1, 4):
        v, m = _step(c, g, i, v, m)
    return v, m


def _while_counted(c: float, g: Function, v: Any, m: Any) -> State:
    return lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, *_step(c, g, s[0], *s[1:])), (1, v, m))[1:]


def _for_counted(c: float, g: Function, v: Any, m: Any) -> State:
    for i in range(1, 3):
        v, m = _step(c, g, i, v, m)
    return v, m


def _shrink(g: Function, v: Any, m: Any) -> State:
    return v * 0.6, fnp.tanh(g((v, m))[1])


def _while(c: float, g: Function, v: Any, m: Any) -> State:
    return lax.while_loop(lambda s: fnp.sum(s[0] ** 2) > 0.5, lambda s: _shrink(g, *s), (v, m))


def _python_while(c: float, g: Function, v: Any, m: Any) -> State:
    while fnp.sum(v**2) > 0.5:
        v, m = _shrink(g, v, m)
    return v, m


def _fori_traced(c: float, g: Function, v: Any, m: Any) -> State:
    return lax.fori_loop(0, _count(v), lambda i, s: _step(c, g, i, *s), (v, m))


def _for_count(c: float, g: Function, v: Any, m: Any) -> State:
    for i in range(int(_count(v))):
        v, m = _step(c, g, i, v, m)
    return v, m


def _vmap(c: float, g: Function, v: Any, m: Any) -> State:
    a, b = fnn.vmap(lambda x, y: g((x, y)), out_axes=(-1, 0))(fnp.stack([v * 2.0, v]), fnp.stack([m, m]))
    return a[:, 1], b[1]


def _vmap_last(c: float, g: Function, v: Any, m: Any) -> State:
    a, b = fnn.vmap(lambda x, y: g((x, y)), in_axes=(-1, None))(fnp.stack([v, v + c], axis=1), m)
    return a[0], b[0]


def _custom_jvp(c: float, g: Function, v: Any, m: Any) -> State:
    h = fnn.custom_jvp(lambda x, y: g((x, y)))
    h.defjvp(lambda primals, tangents: fnn.jvp(lambda x, y: g((x, y)), primals, tangents))
    return h(v, m)


def _custom_vjp(c: float, g: Function, v: Any, m: Any) -> State:
    h = fnn.custom_vjp(lambda x, y: g((x, y)))
    h.defvjp(
        lambda x, y: (g((x, y)), (x, y)), lambda saved, ct: fnn.vjp(lambda x, y: g((x, y)), *saved)[1](ct)
    )
    return h(v, m)


def _closure(c: float, g: Function, v: Any, m: Any) -> State:
    return fnn.jit(lambda y: g((v * c, y)))(m)


def _gradient(c: float, g: Function, v: Any, m: Any) -> State:
    return fnn.grad(lambda x: fnp.sum(g((x, m))[0]))(v), m


def _columns(c: float, g: Function, v: Any, m: Any) -> State:
    eye = fnp.asarray(np.eye(3), dtype=v.dtype)
    return fnp.stack([fnn.jvp(lambda x: fnp.sum(g((x, m))[0]), (v,), (eye[i],))[1] for i in range(3)]), m


def _psum(c: float, g: Function, v: Any, m: Any) -> State:
    a = fnn.vmap(
        lambda x: fnp.sin(x) * lax.psum(fnp.tanh(x) ** 2, "i") - c * lax.pmean(x, "i"), axis_name="i"
    )(v)
    return g((a, m))


def _sums(c: float, g: Function, v: Any, m: Any) -> State:
    return g((fnp.sin(v) * fnp.sum(fnp.tanh(v) ** 2) - c * fnp.mean(v), m))


NESTED: dict[
    str, tuple[Callable[..., State], Callable[..., State], int]
] = {  # ..., number of programs inside
    "cond": (_cond, _if, 2),
    "switch": (_switch, _choose, 2),
    "scan": (_scan(False), _for(False), 1),
    "reversed_scan": (_scan(True), _for(True), 1),
    "fori_loop": (_fori, _for_range, 1),
    "counting_while": (_while_counted, _for_counted, 1),
    "while": (_while, _python_while, 1),
    "fori_traced": (_fori_traced, _for_count, 1),
    "jit": (lambda c, g, v, m: fnn.jit(g)((v, m)), _same, 1),
    "checkpoint": (lambda c, g, v, m: fnn.checkpoint(g)((v, m)), _same, 1),
    "vmap": (_vmap, _same, 1),
    "vmap_last": (_vmap_last, _same, 1),
    "custom_jvp": (_custom_jvp, _same, 1),
    "custom_vjp": (_custom_vjp, _same, 1),
    "linearize": (lambda c, g, v, m: fnn.linearize(g, (v, m))[0], _same, 1),
    "closure": (_closure, lambda c, g, v, m: g((v * c, m)), 1),
    "gradient": (_gradient, _columns, 1),
    "collective": (_psum, _sums, 1),
}
FORWARD_ONLY = frozenset({"while", "fori_traced"})  # the number of steps is not known: no reverse mode
BACKWARD = frozenset({"gradient", "linearize", "custom_vjp"})  # use reverse mode on what is inside of them


# -- drawing them ------------------------------------------------------------------------------------------------------

CONSTANTS = (0.3, -0.4, 0.7)


@st.composite
def programs(draw: st.DrawFn, reverse: bool = True, depth: int = 2, most: int = 3) -> Program:
    """A program; with `reverse` one that can be differentiated in reverse mode."""
    blocks = []
    for _ in range(draw(st.integers(1, most))):
        names = list(SIMPLE)
        if depth and draw(st.integers(0, 2)):
            names = [n for n in NESTED if not (reverse and n in FORWARD_ONLY)]
        kind = draw(st.sampled_from(names))
        count = NESTED[kind][2] if kind in NESTED else 0
        inner = tuple(draw(programs(reverse or kind in BACKWARD, depth - 1, 2)) for _ in range(count))
        blocks.append(Block(kind, draw(st.sampled_from(CONSTANTS)), inner))
    return Program(tuple(blocks))


def states(dtype: Any, seed: int = 0, batch: tuple[int, ...] = ()) -> State:
    """A state with numbers away from kinks, with leading batch axes."""
    r = np.random.default_rng(seed)
    return tuple(fnp.asarray(r.uniform(-0.9, 1.1, (*batch, *shape)), dtype=dtype) for shape in ((3,), (2, 2)))
