"""Group -> nest: the loops, loads, expressions and stores of one kernel, named by their content.

A nest names no buffers, and no sizes that may change from call to call, so equal work has equal nests, and
one kernel. Its nodes are in order of computation:

    ("load", code, access)                 from memory
    ("index", code, access)                the access's position itself (iota)
    ("const", code, text)
    ("apply", code, label, item, *nodes)   an expression, found in `expressions` by its label
    ("round", code, node)                  to bf or f2 and back, where a change of type must not be lost in a
    register ("reduce", code, combine, node)
"""

from __future__ import annotations

import hashlib
import math
import re
from typing import Any

import numpy as np

from fnn.kernels.calls import Value
from fnn.kernels.fuse import Fusion, Group
from fnn.kernels.loops import BYTES, code_of, computed
from fnn.kernels.ops import Expression, Op, Scalar
from fnn.kernels.row_views import spread
from fnn.kernels.streams import streamed
from fnn.kernels.totals import column_block, partial_code
from fnn.kernels.views import View, collapse, refine, restride
from fnn.records import field, record

BLOCK = 2048  # elements of the last axis a tile of a "map" covers, where the axis is longer
PART = 1 << 14  # elements a tile covers where everything is reduced to one number
TURN, SPAN = 64, 64  # the block of the last two axes that a tile of a turned map covers
TURNED = 16  # of them are copied a time: a cache line of float32
RUN = 1024  # rows of a column reduction that one tile adds up
BAND = 32  # short rows that a tile covers
SHORT = 128  # elements of the longest of them


@record(frozen=True)
class Access:
    """Where a load or store goes: argument (-1: the position itself), strides over outer and inner axes, and
    for positions the offset (for arguments it is part of the pointer)."""

    argument: int
    outer: tuple[int, ...]
    inner: tuple[int, ...]
    offset: int = 0


@record()
class Nest:
    """kind "map": outer axes, then one inner axis walked by lanes, in blocks; with reductions ("all") each
    tile stores one part per reduction. "row": outer axes, then inner axes that are reduced, the last one by
    lanes. "col": outer axes, then inner axes: the reduced ones, and last the one walked by lanes; a tile is a
    panel of it, and a run of the first.

    flat: a map over one contiguous axis. turned: a map whose tiles are blocks of the last two axes, because
    some loads are contiguous along the last outer axis only: those (`staged`) are copied into a block on the
    stack first. full: per node, does it vary along the inner axes? outputs: the arguments that are written.
    parts: how many pieces the reduced axis is cut into (1: the stores are final). of_parts: it combines such
    pieces, which are few: no two of them go straight into one sum."""

    kind: str
    outer: tuple[int, ...]
    inner: tuple[int, ...]
    flat: bool = False
    turned: bool = False
    nodes: list[tuple] = field(default_factory=list)
    full: list[bool] = field(default_factory=list)
    accesses: list[Access] = field(default_factory=list)
    stores: list[tuple[int, int]] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    outputs: set[int] = field(default_factory=set)
    expressions: dict[str, Expression] = field(default_factory=dict)
    parts: int = 1
    run: int = 0
    of_parts: bool = False

    @property
    def banded(self) -> bool:
        """Of a row nest: are its tiles bands of many short rows? What is computed once per row is done by lanes
        then, a row each."""
        return self.kind == "row" and self.outer[-1] >= BAND // 2 and math.prod(self.inner) <= SHORT

    @property
    def width(self) -> int:
        """Length of the axis walked by lanes."""
        return self.inner[-1]

    @property
    def static(self) -> bool:
        """Is the width part of the kernel?"""
        return self.kind == "row" or (
            self.kind == "map" and not (self.flat or self.turned) and self.width <= BLOCK
        )

    @property
    def staged(self) -> list[int]:
        """Of a turned nest, the accesses that load against the grain of the last axis and along that of the
        one before."""
        loaded = dict.fromkeys([n[2] for n in self.nodes if n[0] == "load"])
        return [k for k in loaded if self.accesses[k].outer[-1] == 1 and abs(self.accesses[k].inner[-1]) > 1]

    @property
    def reductions(self) -> list[int]:
        return [i for i, n in enumerate(self.nodes) if n[0] == "reduce"]

    @property
    def blocks(self) -> int:
        """Tiles along the width."""
        if self.kind == "row":
            return 1
        if self.kind == "col":
            return -(-self.width // PANEL)
        return -(-self.width // (PART if self.reductions else BLOCK))

    @property
    def tiles(self) -> int:
        if self.turned:
            return math.prod(self.outer[:-1]) * -(-self.outer[-1] // TURN) * -(-self.width // SPAN)
        if self.banded:
            return math.prod(self.outer[:-1]) * -(-self.outer[-1] // BAND)
        return math.prod(self.outer) * self.blocks * (self.parts if self.kind == "col" else 1)

    @property
    def column_block(self) -> tuple[int, int] | None:
        """See `totals.column_block`."""
        first, *rest = self.inner[:-1]
        return (len(rest), 1) if self.of_parts else column_block([min(first, self.run), *rest])

    def wide(self, access: int) -> bool:
        """Does a store with this access happen at every point, not once per row?"""
        return any(self.accesses[access].inner)

    # -- what is passed at run time
    def outer_step(self, a: Access, d: int) -> int | None:
        """The stride over an outer axis where it is part of the kernel: 0, or that of rows that follow each
        other."""
        stride = a.outer[d]
        if stride == 0:
            return 0
        if d == len(self.outer) - 1 and (
            (self.static and stride == math.prod(self.inner))
            or (stride == 1 and (self.turned or self.banded))
        ):
            return stride
        return None

    def inner_step(self, a: Access, d: int) -> int | None:
        """The stride over an inner axis where it is part of the kernel."""
        stride = a.inner[d]
        if stride and ((self.kind == "col" and d < len(self.inner) - 1) or (self.turned and abs(stride) > 1)):
            return None
        return stride

    def sizes(self) -> list[int]:
        """The kernel's run-time sizes, in the order in which the program asks for them."""
        out = list(self.outer if self.turned or self.banded else self.outer[1:])
        if self.kind == "col":
            out += [*self.inner, self.run, self.parts]
        elif not self.static:
            out.append(self.width)
        for a in self.accesses:
            out += [s for d, s in enumerate(a.outer) if self.outer_step(a, d) is None]
            out += [s for d, s in enumerate(a.inner) if self.inner_step(a, d) is None]
        return out

    def key(self) -> str:
        """Names the kernel; run-time sizes are no part of it."""
        patterns = [
            (
                a.argument,
                a.offset,
                *(self.outer_step(a, d) for d in range(len(a.outer))),
                *(self.inner_step(a, d) for d in range(len(a.inner))),
            )
            for a in self.accesses
        ]
        inner = self.inner if self.static else len(self.inner)
        turned = self.staged if self.turned else self.banded
        form = self.kind, len(self.outer), inner, self.flat, turned, streamed(self)
        cut = self.parts > 1, self.column_block if self.kind == "col" else None
        text = repr((form, self.nodes, patterns, self.stores, self.codes, sorted(self.outputs), cut))
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    def __str__(self) -> str:
        lines = [
            f"nest {self.kind} outer={self.outer} inner={self.inner}"
            + (f" parts={self.parts}" if self.parts > 1 else "")
            + (" in bands" if self.banded else "")
        ]
        for i, n in enumerate(self.nodes):
            mark = " " if self.full[i] else "r"
            lines.append(f"  {mark} %{i}:{n[1]} = {self._words(n)}")
        for node, access in self.stores:
            lines.append(f"    {self._place(access)} <- %{node}")
        return "\n".join(lines)

    def operations(self) -> list[str]:
        """The names of what it computes, in order: "add", "tanh", "reduce_add"."""
        named = {"apply": lambda n: re.split(r"[\[#:]", n[2])[0], "reduce": lambda n: f"reduce_{n[2]}"}
        return [named[n[0]](n) for n in self.nodes if n[0] in named]

    def _place(self, access: int) -> str:
        a = self.accesses[access]
        return f"arg{a.argument}{[*a.outer, *a.inner]}"

    def _words(self, n: tuple) -> str:
        if n[0] == "load":
            return f"load {self._place(n[2])}"
        if n[0] == "index":
            a = self.accesses[n[2]]
            return f"index {[*a.outer, *a.inner]} + {a.offset}"
        if n[0] == "const":
            return str(np.float32(n[2])) if n[1] in ("f4", "f2", "bf") else n[2]
        name, args = {"apply": (n[2], n[4:]), "round": ("round", n[2:]), "reduce": (f"reduce {n[2]}", n[3:])}[
            n[0]
        ]
        return name + "".join(f" %{a}" for a in args)


PANEL = 64  # elements of the lanes' axis a tile of a column reduction covers


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
        nest = Nest("map", tuple(sizes[0][:-1]) or (1,), tuple(sizes[0][-1:]), flat)
        return nest, [(tuple(r[:-1]) or (0,), tuple(r[-1:])) for r in strides[0]]

    @staticmethod
    def other_grain(sizes: list[int], loads: list[list[int]]) -> int | None:
        """The axis along which a load is contiguous that is not so along the last one."""
        for strides in loads:
            if abs(strides[-1]) > 1 and sizes[-1] >= 8:
                for d, stride in enumerate(strides[:-1]):
                    if stride == 1 and sizes[d] >= 8:
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


def node_args(node: tuple) -> tuple[int, ...]:
    """The nodes a node is computed from."""
    kind = node[0]
    return (
        node[4:] if kind == "apply" else node[2:] if kind == "round" else node[3:] if kind == "reduce" else ()
    )


def bytes_moved(built: Built) -> int:
    """Bytes the kernel reads and writes, each value once."""
    return sum(v.size * BYTES[code_of(v.dtype)] for v in built.reads | built.writes)
