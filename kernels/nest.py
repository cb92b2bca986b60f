"""Nests: the loops, loads, expressions and stores of one kernel, named by their content.

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

import numpy as np

from fnn.kernels.ops import Expression
from fnn.kernels.streams import streamed
from fnn.kernels.totals import column_block
from fnn.records import field, record

BLOCK = 2048  # elements a tile of a "map" covers: of the last axis, or rows of it
COPIED = (
    8  # elements of a row that are copied to be walked so; more cost more than rows of half empty vectors
)
BLOCKS = 8  # arrays that are copied to where they can be walked so
FOLDED = 16  # shorter rows are walked as one axis with the one before, by lanes
PART = 1 << 14  # elements a tile covers where everything is reduced to one number
TURN, SPAN = 64, 64  # the block of the last two axes that a tile of a turned map covers
TURNED = 16  # of them are copied a time: a cache line of float32
GRAIN = 4  # steps in memory that still share its lines
PANEL = 64  # least elements of the lanes' axis that a tile of a column reduction covers
PANELS = 16  # tiles a column reduction is cut into at least, where its panels can be narrower
WIDEST = 1024  # most elements of the lanes' axis that a tile covers
RUN = 1024  # rows of a column reduction that one tile adds up
BAND = 32  # short rows that a tile covers
NARROW, BROAD = (
    4,
    512,
)  # elements of rows that lanes walk side by side, a row each; how many rows a tile covers then
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
    def side_by_side(self) -> bool:
        """Of a banded nest: does each lane take a row of its own? Loads and stores with small steps between the lanes
        go as whole vectors."""
        if not self.banded or len(self.inner) > 1 or self.width > NARROW:
            return False
        return all(a.outer[-1] in (0, 1, self.width) for a in self.accesses if a.argument >= 0)

    @property
    def band(self) -> int:
        """Rows that a tile of a banded nest covers."""
        return BROAD if self.side_by_side else BAND

    @property
    def grouped(self) -> bool:
        """Of a map nest: are its tiles groups of many rows, whose places need no division?"""
        return (
            self.kind == "map"
            and not (self.flat or self.turned or self.reductions)
            and self.width * 4 <= BLOCK
            and self.outer[-1] >= 4
        )

    @property
    def folded(self) -> bool:
        """Of a grouped nest: do lanes walk rows and their elements as one axis?"""
        if not self.grouped or self.width >= FOLDED or not all(self.wide(a) for _, a in self.stores):
            return False
        # what does not follow each other is copied, element by element, unless it is the same in every row
        apart = [a for k, a in enumerate(self.accesses) if a.argument >= 0 and not self.joined(k)]
        return len(apart) <= BLOCKS and self.width * sum(a.outer[-1] != 0 for a in apart) <= COPIED

    def joined(self, access: int) -> bool:
        """Of a folded nest: do the rows of an access follow each other?"""
        a = self.accesses[access]
        return a.inner[-1] == 1 and a.outer[-1] == self.width

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
        steps = {k: (self.accesses[k].outer[-1], abs(self.accesses[k].inner[-1])) for k in loaded}
        return [k for k, (near, far) in steps.items() if 1 <= near <= GRAIN and far > near]

    @property
    def reductions(self) -> list[int]:
        return [i for i, n in enumerate(self.nodes) if n[0] == "reduce"]

    @property
    def blocks(self) -> int:
        """Tiles along the width."""
        if self.kind == "row":
            return 1
        if self.kind == "col":
            return -(-self.width // self.panel)
        return -(-self.width // (PART if self.reductions else BLOCK))

    @property
    def tiles(self) -> int:
        if self.turned:
            return math.prod(self.outer[:-1]) * -(-self.outer[-1] // TURN) * -(-self.width // SPAN)
        if self.banded:
            return math.prod(self.outer[:-1]) * -(-self.outer[-1] // self.band)
        if self.grouped:
            return math.prod(self.outer[:-1]) * -(-self.outer[-1] // (BLOCK // self.width))
        return math.prod(self.outer) * self.blocks * (self.parts if self.kind == "col" else 1)

    @property
    def column_block(self) -> tuple[int, int] | None:
        """See `totals.column_block`."""
        first, *rest = self.inner[:-1]
        return (len(rest), 1) if self.of_parts else column_block([min(first, self.run), *rest])

    @property
    def panel(self) -> int:
        """How many columns a tile of a column nest covers: as many as leave enough tiles, since long runs are what
        memory is fastest with."""
        share = self.width * math.prod(self.outer) * self.parts // PANELS
        return min(WIDEST, max(PANEL, share // PANEL * PANEL))

    @property
    def in_rows(self) -> bool:
        """Does a tile of a column nest walk its panel a few rows at a time, totals waiting in memory?"""
        return self.kind == "col" and self.width > PANEL and self.column_block is not None

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
            or (stride == 1 and (self.banded or self.grouped))
            or (1 <= stride <= GRAIN and self.turned)
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
        out = list(self.outer if self.turned or self.banded or self.grouped else self.outer[1:])
        if self.kind == "col":
            out += [*self.inner, self.run, self.parts, self.panel]
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
        turned = self.staged if self.turned else (self.banded, self.side_by_side, self.grouped, self.folded)
        form = self.kind, len(self.outer), inner, self.flat, turned, streamed(self)
        cut = self.parts > 1, self.column_block if self.kind == "col" else None, self.in_rows
        text = repr((form, self.nodes, patterns, self.stores, self.codes, sorted(self.outputs), cut))
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    def __str__(self) -> str:
        lines = [
            f"nest {self.kind} outer={self.outer} inner={self.inner}"
            + (f" parts={self.parts}" if self.parts > 1 else "")
            + (" in bands" if self.banded else " folded" if self.folded else "")
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


def node_args(node: tuple) -> tuple[int, ...]:
    """The nodes a node is computed from."""
    kind = node[0]
    return (
        node[4:] if kind == "apply" else node[2:] if kind == "round" else node[3:] if kind == "reduce" else ()
    )
