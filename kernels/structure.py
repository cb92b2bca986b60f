"""Graph -> ops on views. Structure (reshape, transpose, slice, reverse, broadcast, concatenate, pad, iota)
turns into index maps; what remains is map, reduce, dot and opaque ops. The ways in `fnn.core.lowering`
decide, never a name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fnn import dtypes
from fnn.core.aval import Aval
from fnn.core.ir import Atom, Equation, Graph, Literal, Var, has_effect
from fnn.core.lowering import (
    Contraction,
    Elementwise,
    IndexMap,
    Iota,
    Kernel,
    Library,
    Loop,
    NativeCall,
    PythonCall,
    Reduction,
)
from fnn.core.source import Source, describe
from fnn.errors import UnsupportedError
from fnn.kernels.calls import Value
from fnn.kernels.contraction import Matrix, matrix_of, needs_copies, ordered_operands
from fnn.kernels.loops import code_of
from fnn.kernels.ops import AND, COPY, MULTIPLY, Expression, Op, Scalar, Writers, cast_to, identity
from fnn.kernels.ownership import is_own
from fnn.kernels.views import Position, View, contiguous, invert

Operand = View | Scalar
SMALL = 256  # elements of a constant that is kept rather than filled in by a kernel


class Structure:
    """Walks a graph once. ops: in an order that respects their data; writers: per value the ops that fill
    it."""

    def __init__(self, graph: Graph):
        self.env: dict[Var, Operand] = {}
        self.ops: list[Op] = []
        self.writers: Writers = {}
        self.effects: list[Op] = []  # the last op with an effect: the next one comes after it
        self.constants: list[Value] = []
        self._constants: dict[int, Value] = {}
        self._filled: dict[tuple, Value] = {}
        self.source: Source | None = None
        self.uses: dict[Var, int] = {}
        for atom in (*(a for e in graph.equations for a in e.inputs), *graph.outputs):
            if isinstance(atom, Var):
                self.uses[atom] = self.uses.get(atom, 0) + 1
        self.movable: dict[
            Value | Position, Op
        ] = {}  # values of contractions that only one equation reads, through this view
        self.inputs = [Value(*stored(v.aval)) for v in graph.inputs]
        self.env.update((v, View(x, x.shape)) for v, x in zip(graph.inputs, self.inputs, strict=True))
        for eqn in graph.equations:
            self.source = eqn.source
            self.equation(eqn)
        self.source = None
        self.outputs = [self.output(a) for a in graph.outputs]

    # -- operands
    def read(self, atom: Atom) -> Operand:
        if not isinstance(atom, Literal):
            return self.env[atom]
        array = np.asarray(atom.value)
        if dtypes.is_complex(array.dtype):
            array = (
                np.ascontiguousarray(array)[..., None]
                .view(dtypes.real_of(array.dtype))
                .reshape(stored(atom.aval)[0])
            )
        if array.ndim == 0:
            return Scalar(atom.value, atom.aval.dtype)
        if array.size and not any(array.strides):
            return Scalar(array.reshape(-1)[:1], atom.aval.dtype)
        value = self._constants.get(id(array))
        if value is None:
            value = self._constants[id(array)] = Value(array.shape, array.dtype, np.ascontiguousarray(array))
            self.constants.append(value)
        return View(value, value.shape)

    def constant_of(self, x: Scalar, shape: tuple[int, ...]) -> Value:
        """A small constant that lies in memory from the start."""
        key = (x.text, x.dtype, shape)
        value = self._filled.get(key)
        if value is None:
            number = np.full(shape, x.number, "u8" if x.dtype.names else x.dtype).view(x.dtype)
            value = self._filled[key] = Value(shape, x.dtype, number)
            self.constants.append(value)
        return value

    def view(self, x: Operand, shape: Sequence[int], dtype: np.dtype) -> View:
        """x as a view: a constant is filled in."""
        return self.map(COPY, [x], shape, dtype) if isinstance(x, Scalar) else x

    def memory(self, x: Operand, shape: Sequence[int], dtype: np.dtype) -> Value:
        """x as a whole value in memory."""
        if isinstance(x, Scalar) and math.prod(shape) <= SMALL:
            return self.constant_of(x, tuple(shape))
        view = self.view(x, shape, dtype)
        if not view.whole:
            view = self.map(COPY, [view], view.shape, view.dtype)
        return view.memory

    def output(self, atom: Atom) -> Value:
        return self.memory(self.read(atom), *stored(atom.aval))

    # -- ops
    def emit(self, op: Op, effect: bool = False) -> None:
        """Empty results need no op, unless it has an effect."""
        if effect or any(o.size for o in op.outs):
            op.index = len(self.ops)
            self.ops.append(op)
            for value in {o.value for o in op.outs}:
                self.writers.setdefault(value, []).append(op)

    def map(
        self, expression: Expression, inputs: Sequence[Operand], shape: Sequence[int], dtype: np.dtype
    ) -> View:
        out = View(Value(shape, dtype), shape)
        self.emit(Op("map", inputs, [out], shape, self.source, expression=expression))
        return out

    def write(self, x: Operand, dest: View, after: Sequence[Op] = ()) -> None:
        """dest <- x, which has its shape."""
        self.emit(Op("map", [x], [dest], dest.shape, self.source, after=after))

    def reduce(
        self, x: View, axes: Sequence[int], combine: str, shape: Sequence[int], dtype: np.dtype
    ) -> Operand:
        if dtype.kind == "b":
            combine = {"max": "or", "min": "and", "mul": "and", "add": "or"}.get(combine, combine)
        if any(x.shape[d] == 0 for d in axes):
            return Scalar(identity(combine, dtype), dtype)
        if x.dtype != dtype:
            x = self.map(cast_to(code_of(dtype)), [x], x.shape, dtype)
        ones = [d for d in axes if x.shape[d] == 1]
        long = tuple([d for d in range(len(x.shape)) if d in axes and d not in ones])
        if not long:
            return x.drop(ones)
        out = View(Value(shape, dtype), shape)
        self.emit(Op("reduce", [x], [out], x.shape, self.source, combine=combine, axes=long))
        return out

    # -- equations
    def equation(self, eqn: Equation) -> None:
        way = eqn.primitive.lower
        rule = _RULES.get(type(way))
        if rule is None:
            raise UnsupportedError(
                f"{eqn.primitive.name} cannot be compiled (it lowers as {way!r}), at {describe(eqn.source)}; "
                "run this part without jit"
            )
        out = rule(self, eqn, way, [self.read(a) for a in eqn.inputs])
        self.env.update(zip(eqn.outputs, out, strict=True))

    def elementwise(self, eqn: Equation, way: Elementwise, ins: list[Operand]) -> list[Operand]:
        avals = [a.aval for a in eqn.inputs]
        target = common_dtype(avals, eqn.outputs[0].aval)
        shape = eqn.outputs[0].aval.shape
        operands: list[Operand] = []
        for x, atom, aval in zip(ins, eqn.inputs, avals, strict=True):
            if aval.weak_type and aval.dtype != target:
                if isinstance(x, Scalar):  # a number that was written down has all its digits
                    x = Scalar(atom.value, target) if isinstance(atom, Literal) else x.cast(target)
                else:
                    x = self.map(cast_to(code_of(target)), [x], aval.shape, target)
            if isinstance(x, View) and x.shape != shape:
                x = x.broadcast(shape, ())  # a scalar operand
            operands.append(x)
        label, write, params = _label(eqn), way.expr, eqn.params

        def expression(b: Any, *values: Any) -> Any:
            return write(b, *values, **params)

        if not is_own(eqn.primitive):
            codes = tuple([code_of(x.dtype) for x in operands])
            label += "#" + Expression(label, expression).content(codes)
        if not eqn.primitive.multiple:
            return [self.map(Expression(label, expression), operands, shape, eqn.outputs[0].aval.dtype)]
        return [
            self.map(Expression(label, expression, k), operands, shape, v.aval.dtype)
            for k, v in enumerate(eqn.outputs)
        ]

    def index_map(self, eqn: Equation, way: IndexMap, ins: list[Operand]) -> list[Operand]:
        return [getattr(self, "move_" + way.kind)(eqn, eqn.outputs[0].aval, *ins)]

    def move_identity(self, eqn: Equation, aval: Aval, x: Operand) -> Operand:
        return x

    def move_reshape(self, eqn: Equation, aval: Aval, x: Operand) -> Operand:
        if isinstance(x, Scalar):
            return x
        assert isinstance(x, View)
        found = x.reshape(aval.shape)
        if found is not None:
            return found
        value = Value(x.shape, x.dtype)
        if not self.redirect(x, View(value, x.shape), eqn.inputs[0]):
            self.write(x, View(value, x.shape))
        return View(value, aval.shape)

    def move_transpose(self, eqn: Equation, aval: Aval, x: Operand) -> Operand:
        if isinstance(x, Scalar):
            return x
        assert isinstance(x, View)
        x = x.transpose(eqn.params["perm"])
        value = Value(x.shape, x.dtype)
        if self.redirect(x, View(value, x.shape), eqn.inputs[0]):
            return View(value, x.shape)
        return x

    def move_broadcast(self, eqn: Equation, aval: Aval, x: Operand) -> Operand:
        return x if isinstance(x, Scalar) else x.broadcast(aval.shape, eqn.params["axes"])

    def move_slice(self, eqn: Equation, aval: Aval, x: Operand) -> Operand:
        p = eqn.params
        return x if isinstance(x, Scalar) else x.slice(p["start"], p["limit"], p["step"])

    def move_rev(self, eqn: Equation, aval: Aval, x: Operand) -> Operand:
        return x if isinstance(x, Scalar) else x.reverse(eqn.params["axes"])

    def move_pad(self, eqn: Equation, aval: Aval, x: Operand, filler: Operand) -> Operand:
        low, interior = eqn.params["low"], eqn.params["interior"]
        shape, dtype = eqn.inputs[0].aval.shape, aval.dtype
        if isinstance(filler, Scalar):
            filler = filler.cast(dtype)
        elif filler.dtype != dtype:
            filler = self.map(cast_to(code_of(dtype)), [filler], (), dtype)
        value = Value(aval.shape, dtype)
        if isinstance(filler, View):
            filler = filler.broadcast(aval.shape, ())
        # per axis: the first element that stays, how many stay, and where the first one goes
        first, count, place = [], [], []
        for n, lo, gap, m in zip(shape, low, interior, aval.shape, strict=True):
            step = gap + 1
            skip = -(lo // step) if lo < 0 else 0
            first.append(skip)
            place.append(lo + skip * step)
            last = min(n - 1, (m - 1 - lo) // step)
            count.append(max(0, last - skip + 1))
        if isinstance(x, Scalar) and isinstance(filler, Scalar) and x.text == filler.text:
            return x
        strides = contiguous(aval.shape)
        after: list[Op] = []
        if math.prod(count) < value.size:
            self.write(filler, View(value, aval.shape))
            after = self.ops[-1:]
        if math.prod(count):
            dest = View(
                value,
                count,
                sum(a * s for a, s in zip(place, strides, strict=True)),
                [(gap + 1) * s for gap, s in zip(interior, strides, strict=True)],
            )
            if isinstance(x, View):
                x = x.slice(first, [a + n for a, n in zip(first, count, strict=True)])
            self.write(x, dest, after)
        return View(value, aval.shape)

    def move_concatenate(self, eqn: Equation, aval: Aval, *xs: Operand) -> Operand:
        axis, at = eqn.params["axis"], 0
        parts = [(x, a.aval.shape) for x, a in zip(xs, eqn.inputs, strict=True) if a.aval.shape[axis]]
        if len(parts) == 1:
            return parts[0][0]
        value, strides = Value(aval.shape, aval.dtype), contiguous(aval.shape)
        for x, shape in parts:
            if isinstance(x, Scalar):
                x = x.cast(aval.dtype)
            self.write(x, View(value, shape, at * strides[axis], strides))
            at += shape[axis]
        return View(value, aval.shape)

    def iota(self, eqn: Equation, way: Iota, ins: list[Operand]) -> list[Operand]:
        aval, axis = eqn.outputs[0].aval, eqn.params["dimension"]
        size = aval.shape[axis]
        return [
            View(Position(aval.dtype, size), aval.shape, 0, [int(d == axis) for d in range(len(aval.shape))])
        ]

    def reduction(self, eqn: Equation, way: Reduction, ins: list[Operand]) -> list[Operand]:
        given, aval = eqn.inputs[0].aval, eqn.outputs[0].aval
        x = self.view(ins[0], given.shape, given.dtype)
        return [self.reduce(x, eqn.params["axes"], way.combine, aval.shape, aval.dtype)]

    def contraction(self, eqn: Equation, way: Contraction, ins: list[Operand]) -> list[Operand]:
        aval = eqn.outputs[0].aval
        x, y = (self.view(v, a.aval.shape, a.aval.dtype) for v, a in zip(ins, eqn.inputs, strict=True))
        contract, batch = eqn.params["contract"], eqn.params["batch"]
        if not aval.size:
            return [View(Value(aval.shape, aval.dtype), aval.shape)]
        if math.prod(x.shape[d] for d in contract[0]) == 0:
            return [Scalar(identity("add", aval.dtype), aval.dtype)]
        half = code_of(aval.dtype) in ("f2", "bf")
        dtype = dtypes.float32 if half else aval.dtype  # sums of half precision are kept in float32
        axes = matrix_of(x, y, contract, batch)
        if axes.m == 1 or axes.n == 1 or axes.k == 1:
            out = self.vector_product(x, y, axes, aval.shape, dtype)
        else:
            if needs_copies(x, y, contract):
                x, y, contract, batch = self.in_order(x, y, contract, batch)
            x, y = (
                v if isinstance(v.value, Value) else self.map(COPY, [v], v.shape, v.dtype) for v in (x, y)
            )
            out = View(Value(aval.shape, dtype), aval.shape)
            self.emit(Op("dot", [x, y], [out], aval.shape, self.source, payload=(contract, batch)))
            if not half and self.uses.get(eqn.outputs[0]) == 1:
                self.movable[out.value] = self.ops[-1]
        return [self.map(cast_to(code_of(aval.dtype)), [out], aval.shape, aval.dtype) if half else out]

    def in_order(self, x: View, y: View, contract: Any, batch: Any) -> tuple[View, View, Any, Any]:
        """Copies in which the summed axes are one axis."""
        (x, y), contract, batch = ordered_operands(x, y, contract, batch)
        return (self.map(COPY, [x], x.shape, x.dtype), self.map(COPY, [y], y.shape, y.dtype), contract, batch)

    def vector_product(
        self, x: View, y: View, axes: Matrix, shape: Sequence[int], dtype: np.dtype
    ) -> Operand:
        """Matrix times vector, outer product and inner product: multiply, then sum; both fuse with their
        surroundings."""
        left, right, where = axes.vector_views(x, y)
        operands: list[Operand] = [left, right]
        for i, v in enumerate((left, right)):
            if v.dtype != dtype:
                operands[i] = self.map(cast_to(code_of(dtype)), [v], v.shape, dtype)
        product = self.map(AND if dtype.kind == "b" else MULTIPLY, operands, left.shape, dtype)
        flat = [n for d, n in enumerate(left.shape) if d not in where]
        out = self.reduce(product, where, "add", flat, dtype)
        if isinstance(out, Scalar):
            return out
        whole = out.reshape(shape)
        assert whole is not None  # only axes of size 1 differ, or a whole value's
        return whole

    def opaque(self, eqn: Equation, way: Any, ins: list[Operand]) -> list[Operand]:
        strided = way.strided if isinstance(way, Kernel) else ()
        by_columns = (way.columns_in, way.columns_out) if isinstance(way, Library) else ((), ())
        views = []
        for k, (x, a) in enumerate(zip(ins, eqn.inputs, strict=True)):
            if k in strided and isinstance(x, View) and _has_rows(x):
                views.append(x)
                continue
            shape, dtype = stored(a.aval)
            if k in by_columns[0]:
                x = _matrices_turned(self.view(x, shape, dtype), a.aval)
                value = self.memory(x, x.shape, dtype)
            else:
                value = self.memory(x, shape, dtype)
            views.append(View(value, a.aval.shape if k in strided else value.shape))
        outs = []
        for k, v in enumerate(eqn.outputs):
            shape, dtype = stored(v.aval)
            outs.append(Value(_swapped(shape, v.aval) if k in by_columns[1] else shape, dtype))
        after: list[Op] = []
        if isinstance(way, Kernel):
            for (
                out,
                source,
            ) in way.in_place:  # the kernel finds the input's numbers where it writes the result
                self.write(views[source], View(outs[out], outs[out].shape))
                views[source] = View(outs[out], outs[out].shape)
                after += self.ops[-1:]
        effect = has_effect(eqn)
        if effect:
            after += self.effects
        self.emit(
            Op("opaque", views, [View(v, v.shape) for v in outs], (), self.source, payload=eqn, after=after),
            effect,
        )
        if effect:
            self.effects = self.ops[-1:]
        found = [View(v, v.shape) for v in outs]
        return [
            _matrices_turned(v, eqn.outputs[k].aval) if k in by_columns[1] else v for k, v in enumerate(found)
        ]

    # -- contractions that write where their reader wants
    def redirect(self, view: View, dest: View, atom: Atom) -> bool:
        """Let the contraction that fills view's value write to dest (a new value) instead, if `view` is its
        only use."""
        op = self.movable.get(view.value)
        if op is None or not isinstance(atom, Var) or self.uses.get(atom) != 1:
            return False
        whole = invert(view, dest)
        if whole is None:
            return False
        moved = restrided(whole, op.out)
        if moved is None or not Matrix.of(op, moved).stores_rows:
            return False
        value: Any = op.out.value
        op.outs[0] = moved
        del self.writers[value], self.movable[value]
        self.writers[dest.value] = [op]
        self.movable[dest.value] = op
        return True


def stored(aval: Aval) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype in memory: complex numbers are two real ones along a last axis."""
    if dtypes.is_complex(aval.dtype):
        return (*aval.shape, 2), dtypes.real_of(aval.dtype)
    return aval.shape, aval.dtype


def _swapped(items: tuple[int, ...], aval: Aval) -> tuple[int, ...]:
    """Those of the last two axes of a type exchanged; the parts of complex numbers stay last."""
    cut = aval.ndim
    return (*items[: cut - 2], items[cut - 1], items[cut - 2], *items[cut:])


def _matrices_turned(view: View, aval: Aval) -> View:
    """Rows and columns exchanged."""
    return view.transpose(_swapped(tuple(range(len(view.shape))), aval))


def _has_rows(view: View) -> bool:
    """Does its last axis lie contiguous in memory?"""
    return isinstance(view.value, Value) and (view.strides[-1] == 1 or view.shape[-1] == 1)


def restrided(whole: View, out: View) -> View | None:
    """`out` looks at a value which now lies as `whole` says: the same look at the new place."""
    old = {
        s: d for n, s, d in zip(whole.shape, contiguous(whole.shape), whole.strides, strict=True) if n != 1
    }
    if not all(n == 1 or s in old for n, s in zip(out.shape, out.strides, strict=True)):
        return None
    strides = [old.get(s, 0) if n != 1 else 0 for n, s in zip(out.shape, out.strides, strict=True)]
    return View(whole.value, out.shape, whole.offset, strides)


def common_dtype(avals: Sequence[Aval], out: Aval) -> np.dtype:
    """The dtype weak operands are converted to: that of the strong ones (predicates aside)."""
    strong = [a.dtype for a in avals if not a.weak_type]
    numbers = [d for d in strong if d.kind != "b"] or strong
    if not numbers or all(a.weak_type for a in avals if a.dtype.kind != "b"):
        weak = [a.dtype for a in avals if a.weak_type]
        return weak[0] if len(set(weak)) == 1 else dtypes.promote_types(*set(weak)) if weak else out.dtype
    return numbers[0]


def _label(eqn: Equation) -> str:
    """The primitive and its parameters."""
    params = ", ".join(f"{k}={v!r}" for k, v in sorted(eqn.params.items()))
    return f"{eqn.primitive.name}[{params}]" if params else eqn.primitive.name


_RULES: dict[type, Any] = {
    Elementwise: Structure.elementwise,
    IndexMap: Structure.index_map,
    Iota: Structure.iota,
    Reduction: Structure.reduction,
    Contraction: Structure.contraction,
    Kernel: Structure.opaque,
    Library: Structure.opaque,
    Loop: Structure.opaque,
    PythonCall: Structure.opaque,
    NativeCall: Structure.opaque,
}
