"""Which ops share a kernel, and which values reach memory.

A group is an iteration space. Its "full" ops run at every point, "row" ops once per row, and "reduce" ops
take full values to one value per row (kind "row"), per column ("col"), or for the whole array ("all", in
parts that a second kernel combines). Groups are joined greedily in program order; a join is refused if the
kernel would have to run before itself, if an op would read a value made in the same kernel other than from a
register, if no set of axes serves all views, or if the kernel grew beyond LIMIT ops.

What was not joined meets through memory, unless it is cheaper to compute a value again where it is read."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence

from fnn.kernels.calls import Value
from fnn.kernels.ops import COPY, Mask, Op, Writers, mask_cuts
from fnn.kernels.row_views import restride_or_none, row_strides, spread
from fnn.kernels.views import View, chain

LIMIT = 200  # ops a kernel may hold
CHEAP = 24  # weight that is computed again rather than stored and loaded
SERIAL = 1 << 15  # a reduction to one number keeps to one row, with its producers and users, up to this size
NOTHING: frozenset = frozenset()
# What a value is computed again with: the ops, the values in memory it comes from, the cuts of their views.
Recipe = tuple[frozenset[Op], frozenset[Value], frozenset[int]]


class Group:
    """roles: "full", "row" or "reduce" per op. bits: its ops; above: all ops it depends on; barred: ops whose
    values it reads through memory, so that they may never join it (all three as sets of op numbers, in an
    integer)."""

    __slots__ = (
        "ops",
        "roles",
        "size",
        "mask",
        "fusible",
        "bits",
        "above",
        "barred",
        "needs",
        "cuts",
        "index",
        "kind",
        "rows",
    )

    def __init__(self, op: Op, fusible: bool):
        self.ops, self.fusible, self.size, self.index = [op], fusible, op.size, op.index
        self.roles = {op: "reduce" if op.kind == "reduce" else "full"}
        self.bits, self.above, self.barred = 1 << op.index, 0, 0
        self.needs: set[Op] = set()
        self.cuts = NOTHING
        self.mask: Mask | None = None
        self.kind, self.rows = "map", 1

    def set_mask(self, mask: Mask) -> None:
        self.mask = mask
        self.rows = math.prod(n for n, reduced in mask if not reduced)
        if len(mask) == 1 and self.size > SERIAL:
            self.kind = "all"
        else:
            self.kind = "row" if mask[-1][1] else "col"


class Fusion:
    """of: the group of every op; stored: the values that reach memory; again: how a value may be
    computed again where it is read."""

    def __init__(self, ops: Sequence[Op], writers: Writers, outputs: Iterable[Value]):
        self.ops, self.writers, self.outputs = ops, writers, set(outputs)
        self.of: dict[Op, Group] = {}
        self.groups: dict[int, Group] = {}
        self._columns: dict[Value, list[Group]] = {}  # groups of late reductions, by the values they read
        late = []
        for op in ops:
            if op.kind in ("map", "reduce"):
                self.join(op)
                if op.kind == "reduce" and self.of[op].kind != "row":
                    late.append(op)
            else:
                self.add(op)
        for op in late:
            self.attach(op)
        self.join_siblings()
        self.decide()

    # -- dependencies
    def needed(self, op: Op) -> list[Op]:
        return [*(w for v in op.views for w in self.writers.get(v.value, ()) if w is not op), *op.after]

    def add(self, op: Op) -> Group:
        """A group of its own."""
        g = Group(op, op.kind in ("map", "reduce"))
        self.extend(g, op)
        if op.mask is not None:
            g.set_mask(op.mask)
        g.cuts = self.cuts(op, "full", None) or NOTHING
        self.of[op] = self.groups[g.index] = g
        return g

    def extend(self, g: Group, op: Op) -> None:
        """Note what an op of g depends on."""
        for w in self.needed(op):
            if not g.bits >> w.index & 1:
                g.needs.add(w)
                other = self.of[w]
                g.above |= other.bits | other.above
        g.barred |= self.barred(op, ())

    def barred(self, op: Op, inside: Sequence[Group]) -> int:
        """The ops whose values this op reads through memory, those of `inside` excepted."""
        out = 0
        for v in op.views:
            ws = self.writers.get(v.value, ())
            if len(ws) != 1 or not v.whole or not ws[0].out.whole or v.size != op.size:
                for w in ws:
                    if w is not op and self.of[w] not in inside:
                        out |= 1 << w.index
        for w in op.after:
            out |= 1 << w.index
        return out

    def cuts(self, op: Op, role: str, mask: Mask | None) -> frozenset[int] | None:
        """Where this op's views cut the iteration space; None if they cannot share axes."""
        views = [v for v in (*op.inputs, *op.outs) if isinstance(v, View)]
        out: set[int] = set(mask_cuts(op.mask) if op.mask else ())
        for v in views:
            if op.kind == "reduce" and v is op.out:
                continue
            if role == "row":
                assert mask is not None
                over = spread(v, mask)
                if over is None:
                    return None
                v = over
            out |= v.cuts
        return frozenset(out)

    def legal(self, parts: Sequence[Group], extra: Iterable[Op]) -> bool:
        """Is no value on a way from these groups back to them made outside of them?"""
        bits = 0
        for g in parts:
            bits |= g.bits
        for needs in (*(g.needs for g in parts), extra):
            for w in needs:
                if not bits >> w.index & 1 and self.of[w].above & bits:
                    return False
        return True

    def merge(self, parts: Sequence[Group], op: Op | None = None, role: str = "full") -> Group:
        first, *rest = sorted(parts, key=lambda g: g.index)
        before = first.bits, first.above
        for g in rest:
            first.ops += g.ops
            first.roles.update(g.roles)
            first.bits |= g.bits
            first.above |= g.above
            first.barred |= g.barred
            first.needs |= g.needs
            first.cuts |= g.cuts
            if first.mask is None and g.mask is not None:
                first.set_mask(g.mask)
            del self.groups[g.index]
            for o in g.ops:
                self.of[o] = first
        if op is not None:
            first.ops.append(op)
            first.roles[op] = role
            first.bits |= 1 << op.index
            self.of[op] = first
            for w in self.needed(op):
                if not first.bits >> w.index & 1:
                    first.needs.add(w)
                    first.above |= self.of[w].bits | self.of[w].above
            first.barred |= self.barred(op, (first,))
        first.above &= ~first.bits
        if rest:
            first.needs = {w for w in first.needs if not first.bits >> w.index & 1}
        if (
            rest or first.above & ~before[1]
        ):  # a lone op that joins changes nothing for others unless it needs more
            reach = first.bits | first.above
            for h in self.groups.values():
                if h is not first and h.above & first.bits:
                    h.above |= reach
        return first

    # -- registers
    def made_by(self, view: View) -> tuple[Op, Group, str] | None:
        """(op, its group, "full" or "row") if a register could hold the view's value."""
        ws = self.writers.get(view.value, ())
        if len(ws) != 1 or ws[0] not in self.of or not ws[0].out.whole or not self.of[ws[0]].fusible:
            return None
        g = self.of[ws[0]]
        return ws[0], g, "full" if g.roles[ws[0]] == "full" else "row"

    def inside(self, view: View, role: str, mask: Mask | None) -> bool:
        """Can an op at every point read the view from a register, if its value is made in the same kernel?"""
        if role == "full":
            return view.whole
        if mask is None or view.offset:
            return False
        strides = restride_or_none(view, [n for n, _ in mask])
        return strides is not None and all(
            n == 1 or a == b for (n, _), a, b in zip(mask, strides, row_strides(mask), strict=True)
        )

    # -- joining
    def join(self, op: Op) -> None:
        alone = self.add(op)
        if op.kind == "reduce" and alone.kind != "row":
            return
        parts: list[Group] = []
        role, cuts = alone.roles[op], alone.cuts
        for view in op.views:
            found = self.made_by(view)
            if found is None or found[1] in parts or found[1] is alone:
                continue
            _, g, have = found
            trial = [*parts, g]
            if g.kind not in ("map", "row"):
                continue
            if role != "row" and g.size == op.size:
                want = role
            elif (
                not parts
                and op.kind == "map"
                and g.kind == "row"
                and g.rows == op.size
                and have == "row"
                and op.out.whole
            ):
                want = "row"
            else:
                continue
            joint = self.joint_cuts(op, trial, want)
            if joint is not None and self.legal(trial, self.needed(op)):
                parts, cuts = trial, joint
                if want == "row":
                    role = want
                    break
        if not parts:
            return
        del self.groups[alone.index]
        g = self.merge(parts, op, role)
        g.cuts = cuts
        if op.mask is not None and g.mask is None:
            g.set_mask(op.mask)

    def joint_cuts(self, op: Op, parts: Sequence[Group], role: str) -> frozenset[int] | None:
        """The cuts of the kernel these groups and the op would make, or None if they cannot be one."""
        mask = op.mask
        for g in parts:
            if g.mask is not None:
                if mask is not None and mask != g.mask:
                    return None
                mask = g.mask
        if sum(len(g.ops) for g in parts) >= LIMIT:
            return None
        bits = barred = 0
        for g in parts:
            bits |= g.bits
            barred |= g.barred
        if bits & barred or any(bits >> w.index & 1 for w in op.after):
            return None
        for view in op.views:
            for w in self.writers.get(view.value, ()):
                if not bits >> w.index & 1:
                    continue
                found = self.made_by(view)
                if found is None:
                    return None
                if role == "row":
                    if found[2] != "row" or not view.whole:
                        return None
                elif not self.inside(view, found[2], mask):
                    return None
        cuts = self.cuts(op, role, mask)
        if cuts is None:
            return None
        for g in parts:
            cuts |= g.cuts
        return cuts if chain(cuts) is not None else None

    def attach(self, op: Op) -> None:
        """A late reduction joins its producers, or other late reductions of the same data."""
        mine, view = self.of[op], op.views[0] if op.views else None
        if view is None:
            return
        found = self.made_by(view)
        candidates = [found[1]] if found is not None and found[2] == "full" and view.whole else []
        candidates += self._columns.get(view.memory, [])
        for g in candidates:
            if g is mine or self.groups.get(g.index) is not g or g.size != mine.size or not g.fusible:
                continue
            if (g.kind != "map" and g.mask != mine.mask) or len(g.ops) + len(mine.ops) > LIMIT:
                continue
            if self.compatible(g, mine):
                mine = self.merge([g, mine])
                break
        for o in mine.ops:
            for v in o.views:
                groups = self._columns.setdefault(v.memory, [])
                if mine not in groups:
                    groups.append(mine)

    def join_siblings(self) -> None:
        """Kernels that walk the same data in the same way read it once. Mere copies stay apart: where the
        copy may share the original's memory, the planner leaves it out."""
        readers: dict[tuple[Value, Mask | None], list[Group]] = {}
        for g in list(self.groups.values()):
            if (
                not g.fusible
                or g.kind not in ("map", "row")
                or all(o.expression is COPY and o.kind == "map" for o in g.ops)
            ):
                continue
            read = [v.memory for o in g.ops for v in o.views if self.walks_all(v, g)]
            for value in dict.fromkeys(read):
                for other in readers.get((value, g.mask), ())[-4:]:
                    if (
                        other is g
                        or other.size != g.size
                        or self.groups.get(other.index) is not other
                        or self.groups.get(g.index) is not g
                    ):
                        continue
                    if len(g.ops) + len(other.ops) <= LIMIT and self.compatible(g, other):
                        g = self.merge([g, other])
            for o in g.ops:
                for v in o.views:
                    groups = readers.setdefault((v.memory, g.mask), [])
                    if self.walks_all(v, g) and g not in groups[-4:]:
                        groups.append(g)

    def walks_all(self, view: View, g: Group) -> bool:
        """Does the group read the view's whole value, or every k-th element of it, so that others read the same lines?"""
        size = view.value.size
        if view.size != g.size or view.size == size or g.kind != "map":
            return view.size == size == g.size
        steps = [abs(s) for n, s in zip(view.shape, view.strides, strict=True) if n != 1]
        return bool(steps) and 2 <= min(steps) <= 4 and min(steps) * view.size == size

    def compatible(self, g: Group, h: Group) -> bool:
        """Can two groups over the same points be one kernel?"""
        return (
            not (g.barred | h.barred) & (g.bits | h.bits)
            and chain(g.cuts | h.cuts) is not None
            and self.legal([g, h], ())
        )

    # -- what is stored, what is computed again
    def decide(self) -> None:
        readers: dict[Value, list[tuple[Op, View]]] = {}
        self.stored = set(self.outputs)
        for op in self.ops:
            g = self.of[op]
            for out in op.outs:
                if not g.fusible or not out.whole or len(self.writers[out.value]) > 1:
                    self.stored.add(out.memory)
            for view in op.views:
                readers.setdefault(view.memory, []).append((op, view))
                if not g.fusible or view.value not in self.writers:
                    self.stored.add(view.memory)
        self.again: dict[Value, Recipe] = {}
        self.weights: dict[Op, int] = {}
        redone: dict[Group, frozenset[Op]] = {}  # what is computed again in a kernel already
        for op in self.ops:
            g = self.of[op]
            if not g.fusible or not op.out.whole:
                continue
            value = op.out.memory
            outside = [(o, v) for o, v in readers.get(value, ()) if self.of[o] is not g]
            recipe = self.recipe(op) if g.roles[op] == "full" and op.kind == "map" else None
            if recipe is not None:
                self.again[value] = recipe
            if value in self.stored or not outside:
                continue
            if recipe is not None and self.worth(value, recipe, outside, redone):
                self.stored |= recipe[1]
            else:
                self.stored.add(value)

    def weight(self, ops: Iterable[Op]) -> int:
        total = 0
        for op in ops:
            if op not in self.weights:
                self.weights[op] = op.weight()
            total += self.weights[op]
        return total

    def recipe(self, op: Op) -> Recipe | None:
        """How a value is computed again from memory, or None."""
        ops, leaves, cuts = {op}, set(), self.of[op].cuts and self.cuts(op, "full", None)
        every = set(cuts or ())
        for view in op.views:
            value = view.memory
            if value in self.stored:
                leaves.add(value)
                continue
            inner = self.again.get(value)
            if inner is None and self.per_row(view, op):
                leaves.add(value)
                continue
            if inner is None or not view.whole:
                return None
            ops |= inner[0]
            leaves |= inner[1]
            every |= inner[2]
        if self.weight(ops) > 2 * CHEAP:
            return None
        return frozenset(ops), frozenset(leaves), frozenset(every)

    def per_row(self, view: View, op: Op) -> bool:
        """Is this a number per row, which op's kernel could as well store?"""
        ws = self.writers.get(view.value, ())
        if len(ws) != 1 or self.of[ws[0]] is not self.of[op] or not ws[0].out.whole:
            return False
        return (
            self.of[op].kind == "row"
            and self.of[op].roles[ws[0]] != "full"
            and 8 * view.value.size <= op.size
        )

    def worth(
        self, value: Value, recipe: Recipe, outside: list[tuple[Op, View]], redone: dict[Group, frozenset[Op]]
    ) -> bool:
        """Is it cheaper, and possible, to compute the value again in every other kernel that reads it?"""
        ops, leaves, cuts = recipe
        if value.size == 1 or sum(v.size * 8 > value.size for v in leaves) > 1:
            return False
        grown = {}
        for reader, view in outside:
            g = self.of[reader]
            if not view.whole or not g.fusible or g.roles[reader] == "row" or g.size != value.size:
                return False
            joint = grown.get(g, g.cuts) | cuts
            if chain(joint) is None:
                return False
            grown[g] = joint
        if any(self.weight(ops - redone.get(g, NOTHING)) > CHEAP for g in grown):
            return False
        for g, joint in grown.items():
            g.cuts = joint
            redone[g] = redone.get(g, NOTHING) | ops
        return True

    # -- order
    def order(self) -> list[Group]:
        """The groups, each after what it depends on, otherwise as in the program."""
        waiting: dict[int, int] = {}
        users: dict[int, list[Group]] = {}
        ready: list[int] = []
        for g in self.groups.values():
            above = {self.of[w].index for w in g.needs} - {g.index}
            waiting[g.index] = len(above)
            for i in above:
                users.setdefault(i, []).append(g)
            if not above:
                ready.append(g.index)
        heapq.heapify(ready)
        out = []
        while ready:
            g = self.groups[heapq.heappop(ready)]
            out.append(g)
            for user in users.get(g.index, ()):
                waiting[user.index] -= 1
                if not waiting[user.index]:
                    heapq.heappush(ready, user.index)
        if len(out) != len(self.groups):
            raise AssertionError("fusion made kernels that depend on each other in a circle")
        return out
