"""Group -> nest: which loops, in which order, walk the points of a group, and where its values are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fnn.kernels.calls import Value
from fnn.kernels.fuse import Fusion, Group
from fnn.kernels.loops import BYTES, code_of, computed
from fnn.kernels.nest import BLOCK, FOLDED, GRAIN, RUN, Access, Nest, node_args
from fnn.kernels.ops import Expression, Op, Scalar
from fnn.kernels.row_views import spread
from fnn.kernels.totals import partial_code
from fnn.kernels.views import View, collapse, refine, restride
from fnn.records import record


@record()
class Built:
    """A nest, what each argument stands for (value, offset in elements), and reductions left in parts, as
    (op, the value of the parts). whole: the values of which it writes every element."""

    nest: Nest
    arguments: list[tuple[Value, int]]
    reads: set[Value]
    writes: set[Value]
    whole: set[Value]
    partial: list[tuple[Op, Value]]
    weight: int


class NestBuilder:
    """Loads for what comes from memory, expressions for the rest."""

    def __init__(self, group: Group, fusion: Fusion):
        self.group, self.fusion = group, fusion
        self.mask = group.mask or ((group.size, False),)
        self.nodes: list[tuple] = []
        self.memo: dict[tuple, int] = {}
        self.made: dict[Op, int] = {}
        self.expressions: dict[str, Expression] = {}
        self.views: list[View] = []  # of the loads, over the whole iteration space
        self._views: dict[tuple, int] = {}
        self.weight = 0
        self.roots = [
            o
            for o in sorted(group.ops, key=lambda o: o.index)
            if any(v.value in fusion.stored for v in o.outs)
        ]

    def role(self, op: Op) -> str:
        known = self.group.roles.get(op)
        return known if known is not None else "full" if op.size == self.group.size else "row"

    def register(self, view: View) -> Op | None:
        """The op whose result this kernel holds in a register where the view reads it."""
        ws = self.fusion.writers.get(view.value, ())
        if len(ws) != 1 or not ws[0].out.whole:
            return None
        if self.fusion.of[ws[0]] is self.group:
            return ws[0]
        return ws[0] if view.value not in self.fusion.stored and view.whole else None

    def needed(self) -> list[Op]:
        """The ops this kernel computes, in order: its own that somebody wants, and those it computes
        again."""
        seen, todo = set(self.roots), list(self.roots)
        while todo:
            for view in todo.pop().views:
                op = self.register(view)
                if op is not None and op not in seen:
                    seen.add(op)
                    todo.append(op)
        return sorted(seen, key=lambda o: o.index)

    def node(self, item: tuple) -> int:
        have = self.memo.get(item)
        if have is None:
            have = self.memo[item] = len(self.nodes)
            self.nodes.append(item)
        return have

    def operand(self, x: View | Scalar, op: Op) -> int:
        if isinstance(x, Scalar):
            return self.node(("const", code_of(x.dtype), x.text))
        assert isinstance(x, View)
        made = self.register(x)
        if made is not None:
            return self.made[made]
        return self.node(
            ("load" if isinstance(x.value, Value) else "index", code_of(x.dtype), self.load(x, self.role(op)))
        )

    def load(self, view: View, role: str) -> int:
        if role == "row":
            over = spread(view, self.mask)
            assert over is not None  # fusion checked
            view = over
        key = (view.value, view.offset, view.shape, view.strides)
        have = self._views.get(key)
        if have is None:
            have = self._views[key] = len(self.views)
            self.views.append(view)
        return have

    def compute(self, op: Op) -> int:
        code = code_of(op.out.dtype)
        args = [self.operand(x, op) for x in op.inputs]
        self.weight += op.weight()
        if op.kind == "reduce":
            return self.node(("reduce", code, op.combine, *args))
        label, item = op.expression.label, op.expression.item
        if label == "copy":
            return args[0]
        self.expressions[label] = op.expression
        made = self.node(("apply", code, label, item, *args))
        return self.node(("round", code, made)) if op.rounds else made

    def build(self) -> Built | None:
        """None if nothing of the group is wanted."""
        if not self.roots:
            return None
        for op in self.needed():
            self.made[op] = self.compute(op)
        group = self.group
        stores = [(self.made[op], out, op) for op in self.roots for out in op.outs]
        targets = [self.stored_view(out, op) for _, out, op in stores]
        cuts: set[int] = {1, group.size}
        for v in (*self.views, *targets):
            cuts |= v.cuts
        step = 1
        for n, _ in reversed(self.mask):
            step *= n
            cuts.add(step)
        axes = refine(cuts)
        reduced = self.reduced(axes)
        rows: list[Any] = [restride(v.shape, v.strides, axes) for v in (*self.views, *targets)]
        nest, packed = self.layout(axes, reduced, rows)
        nest.expressions = self.expressions
        return self.finish(nest, packed, stores, targets)

    def stored_view(self, out: View, op: Op) -> View:
        if self.role(op) == "full":
            return out
        over = spread(out, self.mask)
        assert over is not None  # reductions write whole values; fusion checked the rest
        return over

    def reduced(self, axes: tuple[int, ...]) -> list[bool]:
        """Per axis: is it reduced? Each lies inside one axis of the mask."""
        out, parts, left, flag = [], iter(self.mask), 1, False
        for n in axes:
            if left == 1:
                left, flag = next(parts)
            out.append(flag)
            left //= n
        return out

    def layout(self, axes: tuple[int, ...], reduced: list[bool], rows: list[Any]) -> tuple[Nest, list[tuple]]:
        """The loops: neighbouring axes that every access walks as one are one. -> (nest, per access (outer,
        inner))"""
        kept = [d for d, r in enumerate(reduced) if not r]
        summed = [d for d, r in enumerate(reduced) if r]
        kind = self.group.kind
        if kind == "row":
            order = [kept, summed]
        elif kind == "col":
            order = [kept[:-1], summed, kept[-1:]]
        else:
            order = [list(range(len(axes)))]
        sizes, strides = [], []
        for part in order:
            s, r = collapse([axes[d] for d in part], [[row[d] for d in part] for row in rows])
            sizes.append(s or [1])
            strides.append(r if s else [[0] for _ in rows])
        if kind == "row":
            nest = Nest("row", tuple(sizes[0]), tuple(sizes[1]))
            return nest, [(tuple(o), tuple(i)) for o, i in zip(*strides, strict=True)]
        if kind == "col":
            nest = Nest("col", tuple(sizes[0]), (*sizes[1], *sizes[2]))
            return nest, [(tuple(o), (*i, *j)) for o, i, j in zip(*strides, strict=True)]
        flat = len(sizes[0]) == 1 and all(r[0] in (0, 1) for r in strides[0])
        along = None if kind == "all" else self.other_grain(sizes[0], strides[0][: len(self.views)])
        if along is not None:  # the axis along which those loads are contiguous becomes the last but one
            keep = [*(d for d in range(len(sizes[0]) - 1) if d != along), along, len(sizes[0]) - 1]
            inner = [tuple([r[d] for d in keep]) for r in strides[0]]
            shape = [sizes[0][d] for d in keep]
            return (
                Nest("map", tuple(shape[:-1]), tuple(shape[-1:]), turned=True),
                [(r[:-1], r[-1:]) for r in inner],
            )
        shape, rows = sizes[0], strides[0]
        if (
            kind != "all"
            and len(shape) > 2
            and shape[-2] < 4 <= shape[-3]
            and FOLDED <= shape[-1] <= BLOCK // 4
        ):
            # tiles are groups of rows along the longer axis
            keep = [*range(len(shape) - 3), len(shape) - 2, len(shape) - 3, len(shape) - 1]
            shape, rows = [shape[d] for d in keep], [[r[d] for d in keep] for r in rows]
        nest = Nest("map", tuple(shape[:-1]) or (1,), tuple(shape[-1:]), flat)
        return nest, [(tuple(r[:-1]) or (0,), tuple(r[-1:])) for r in rows]

    @staticmethod
    def other_grain(sizes: list[int], loads: list[list[int]]) -> int | None:
        """The axis along which a load is contiguous, or nearly so, that is not so along the last one."""
        for strides in loads:
            if abs(strides[-1]) > 1 and sizes[-1] >= 8:
                near = GRAIN if abs(strides[-1]) >= 4 * GRAIN else 1
                for d, stride in enumerate(strides[:-1]):
                    if 1 <= stride <= near and sizes[d] >= 8:
                        return d
        return None

    def finish(self, nest: Nest, packed: list[tuple], stores: list[tuple], targets: list[View]) -> Built:
        """Number the arguments in order of use, and mark what varies inside a row."""
        arguments: dict[tuple[Value, int], int] = {}
        accesses: dict[Access, int] = {}
        partial: list[tuple[Op, Value]] = []

        def access(value: Any, offset: int, outer: tuple[int, ...], inner: tuple[int, ...]) -> int:
            if isinstance(value, Value):
                found = Access(arguments.setdefault((value, offset), len(arguments)), outer, inner)
            else:
                found = Access(-1, outer, inner, offset)
            number = accesses.setdefault(found, len(accesses))
            if number == len(nest.accesses):
                nest.accesses.append(found)
            return number

        where = [access(v.value, v.offset, *p) for v, p in zip(self.views, packed, strict=False)]
        for n in self.nodes:
            if n[0] in ("load", "index"):
                n = (n[0], n[1], where[n[2]])
                nest.full.append(any(nest.accesses[n[2]].inner))
            elif n[0] in ("const", "reduce"):
                nest.full.append(False)
            else:
                nest.full.append(any(nest.full[a] for a in node_args(n)))
            nest.nodes.append(n)
        reads = {v.value for v in self.views if isinstance(v.value, Value)}
        self.cut_reductions(nest)
        writes: set[Value] = set()
        whole: set[Value] = set()
        for (node, out, op), target, (outer, inner) in zip(
            stores, targets, packed[len(self.views) :], strict=True
        ):
            value, offset = target.memory, target.offset
            if op.kind == "reduce" and self.in_parts(nest):
                value, offset, outer, inner = self.part_of(nest, op)
                partial.append((op, value))
            elif out.whole:
                whole.add(out.memory)
            writes.add(value)
            nest.stores.append((node, access(value, offset, outer, inner)))
        nest.codes = [code_of(v.dtype) for v, _ in arguments]
        if all(n[0] == "load" for n in nest.nodes):  # what is only moved needs no conversion
            nest.codes = ["u2" if code in ("f2", "bf") else code for code in nest.codes]
            nest.nodes = [("load", "u2" if n[1] in ("f2", "bf") else n[1], n[2]) for n in nest.nodes]
        nest.outputs = {k for k, (v, _) in enumerate(arguments) if v in writes}
        return Built(nest, list(arguments), reads, writes, whole, partial, self.weight)

    # -- reductions in parts: a fixed partition, whatever the number of threads
    def cut_reductions(self, nest: Nest) -> None:
        if nest.kind != "col":
            return
        rest = math.prod(nest.inner[1:-1])
        first = nest.inner[0]
        nest.run = first if first * rest <= RUN else max(1, RUN // rest)
        nest.parts = -(-first // nest.run)

    def in_parts(self, nest: Nest) -> bool:
        return nest.parts > 1 if nest.kind == "col" else nest.kind == "map" and nest.tiles > 1

    def part_of(self, nest: Nest, op: Op) -> tuple[Value, int, tuple[int, ...], tuple[int, ...]]:
        """The value that holds a reduction's parts, and how tiles write there: "map" one number per tile,
        "col" a row per (outer axes, part)."""
        dtype = np.dtype(partial_code(op.combine, computed(code_of(op.out.dtype))))
        if nest.kind == "map":
            return Value((nest.tiles,), dtype), 0, (0,) * len(nest.outer), (0,)
        count = math.prod(nest.outer)
        value = Value((count, nest.parts, nest.width), dtype)
        steps, step = [], nest.parts * nest.width
        for n in reversed(nest.outer):
            steps.append(step)
            step *= n
        return value, 0, tuple(reversed(steps)), (*(0 for _ in nest.inner[:-1]), 1)


def bytes_moved(built: Built) -> int:
    """Bytes the kernel reads and writes, each value once."""
    return sum(v.size * BYTES[code_of(v.dtype)] for v in built.reads | built.writes)
