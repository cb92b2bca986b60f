"""Where every value of a program lies: which values share memory, and where in the arena each piece of it is.

1. Every value that is written gets a `Storage` with its spans of time (`fnn.kernels.lifetimes`).
2. Storages are joined where a copy would be needed otherwise, or where an input dies and an output is born:
   first the carries of loops (a copy every round), then copies, then kernels that may work in place, then
   donated inputs with outputs of their size. Two are joined if their spans meet in that step only.
3. A carry that cannot be computed where it lies is handed on by exchanging pointers, if it is large, and
   copied otherwise.
4. What has no place of its own is laid out in one arena: largest first, each in the smallest gap that fits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from fnn.kernels.calls import Value
from fnn.kernels.control import Assign, Copy, Loop, Program, Run, Slot, Step, walk
from fnn.kernels.lifetimes import Lifetimes, Span

ALIGNMENT = 64
# A smaller carry is copied: that costs less than looking up a pointer in every kernel that uses it.
SMALLEST_SWAP = 1 << 12


class Pointer:
    """A base of the running program that says where a carry, or the buffer for its next value, lies at the
    moment."""


class Storage:
    """A piece of memory that several values use, one after the other.

    home: what it must lie in: an output, a donated input, a slice of a stacked result; None: anywhere in the
    arena. With a pointer the arena holds what the pointer starts as. window: the times it may be used at, if
    that is restricted."""

    __slots__ = ("nbytes", "members", "spans", "home", "window", "offset")

    def __init__(self, value: Value, spans: list[Span]):
        self.nbytes = value.nbytes
        self.members = [value]
        self.spans = _union(spans, [])
        self.home: Value | Slot | Pointer | None = None
        self.window: Span | None = None
        self.offset = -1


class Memory:
    """The memory plan of a program. See the module's docstring; `storage` says where a value lies.

    aliases: output -> donated input whose memory it takes over."""

    def __init__(self, program: Program, donated: Iterable[Value] = ()):
        donated = [v for v in donated if v.nbytes]
        self.lifetimes = Lifetimes(program, donated)
        self.storage = {v: Storage(v, spans) for v, spans in self.lifetimes.spans.items()}
        self.aliases: dict[Value, Value] = {}
        self._permitted: dict[tuple[int, Value], list[Value]] = {}
        self._reads: dict[int, set[Value]] = {}
        self._donated = set(donated)
        self._outputs = set(program.outputs)
        steps = list(walk(program.steps))
        loops = [s for s in steps if isinstance(s, Loop)]
        self._permit(steps)
        for value in (*donated, *program.outputs):
            if value in self.storage:
                self.storage[value].home = value
        for loop in loops:
            for slot in loop.slots:
                if slot.written and slot.value in self.storage:
                    piece = self.storage[slot.value]
                    piece.home, piece.window = slot, (loop.start, loop.end)
        for loop in reversed(loops):  # the innermost first
            for cell, value in loop.assign.pairs:
                self._join(value, cell, loop.assign.time)
        for loop in reversed(loops):
            self._assign(loop)
        for step in steps:
            if isinstance(step, Copy):
                self._join(step.source, step.target, step.time, copied=True)
        runs = [s for s in steps if isinstance(s, Run)]
        for given in (True, False):  # a donated input first: then no other memory is needed for the result
            for run in runs:
                for new, old in run.in_place:
                    if not given or (old in self.storage and self.storage[old].home in self._donated):
                        self._join(old, new, run.time)
        self._take_over(donated, program.outputs)
        for loop in loops:
            self._keep_pointers(loop)
        inside = {v: s for v, s in self.storage.items() if s.home is None or isinstance(s.home, Pointer)}
        self.arena = _arrange(list(dict.fromkeys(inside.values())))
        self.without_reuse = sum(_rounded(v.nbytes) for v in inside)

    def same(self, a: Value, b: Value) -> bool:
        """Whether two values share memory that the plan has given them."""
        piece = self.storage.get(a)
        return piece is not None and piece is self.storage.get(b)

    # -- sharing
    def _permit(self, steps: Iterable[Step]) -> None:
        """Note where the life of one value may end in the step, and the memory, in which another's begins."""
        for step in steps:
            pairs: Iterable[tuple[Value, Value]]
            if isinstance(step, Run):
                pairs, self._reads[step.time] = step.in_place, step.reads
            elif isinstance(step, Copy):
                pairs = ((step.target, step.source),)
            elif isinstance(step, Assign):
                pairs = step.pairs
            else:
                continue
            for new, old in pairs:
                self._permitted.setdefault((step.time, new), []).append(old)

    def _join(self, old: Value, new: Value, time: int, copied: bool = False) -> bool:
        """Let `new`, written at this time, lie where `old` lies, if nobody can tell. copied: new starts as
        equal to old."""
        a, b = self.storage.get(old), self.storage.get(new)
        if a is None or b is None or a is b or a.nbytes != b.nbytes:
            return False
        if not (self._only_meet(a, b) or (copied and self._stay_equal(old, new, time))):
            return False
        return self._merge(a, b)

    def _merge(self, a: Storage, b: Storage) -> bool:
        """Make one storage of two whose spans allow it, if their homes and windows do."""
        window = _intersection(a.window, b.window)
        if window is not None and not all(window[0] <= s <= e <= window[1] for s, e in (*a.spans, *b.spans)):
            return False
        home = b.home if a.home is None else a.home
        if a.home is not None and b.home is not None:
            given, output = (a.home, b.home) if a.home in self._donated else (b.home, a.home)
            if given not in self._donated or output not in self._outputs or given in self.aliases.values():
                return False
            assert isinstance(given, Value) and isinstance(output, Value)
            self.aliases[output] = given
            home = given
        a.members += b.members
        a.spans = _union(a.spans, b.spans)
        a.home, a.window = home, window
        for value in b.members:
            self.storage[value] = a
        return True

    def _only_meet(self, a: Storage, b: Storage) -> bool:
        """Whether the two are never in use at once but in steps that may end the one's life and begin the
        other's."""
        return all(
            (p[1] == q[0] and self._may_follow(a, b, q[0])) or (q[1] == p[0] and self._may_follow(b, a, p[0]))
            for p, q in _overlaps(a, b)
        )

    def _may_follow(self, a: Storage, b: Storage, time: int) -> bool:
        """Whether this step may write a value of b into the memory of a's, which it reads for the last
        time."""
        for new in b.members:
            for old in self._permitted.get((time, new), ()):
                if self.storage.get(old) is a:
                    # No other operand may lie there too: the permission is about the way in which `old` is
                    # read.
                    return not any(
                        v is not old and self.storage.get(v) is a for v in self._reads.get(time, ())
                    )
        return False

    def _stay_equal(self, old: Value, new: Value, time: int) -> bool:
        """Whether both hold the same from the copy on for as long as both are needed: neither is written
        again, and nothing else is put in their place."""
        first, last, spans = self.lifetimes.first, self.lifetimes.last, self.lifetimes.spans
        a, b = self.storage[old], self.storage[new]
        if last.get(old, 0) >= time or first[new] != last[new]:
            return False
        together = _common(_union(spans[old], []), _union(spans[new], []))
        others = [span for v in (*a.members, *b.members) if v not in (old, new) for span in spans[v]]
        return (
            all(start >= time for start, _ in together)
            and not any(s <= f and t <= e for s, e in others for t, f in together)
            and together == _common(a.spans, b.spans)
        )

    def _take_over(self, donated: Sequence[Value], outputs: Sequence[Value]) -> None:
        """Give outputs the memory of donated inputs of the same size that are dead before the output is
        begun."""
        free = [v for v in donated if v in self.storage and v not in self.aliases.values()]
        for output in outputs:
            piece = self.storage.get(output)
            if piece is None or piece.home is not output:
                continue
            for value in free:
                given = self.storage[value]
                if (
                    given.nbytes == piece.nbytes
                    and not any(_overlaps(given, piece))
                    and self._merge(given, piece)
                ):
                    free.remove(value)
                    break

    # -- loops
    def _assign(self, loop: Loop) -> None:
        """Decide how the carries that are not computed in place become their next values."""
        left = {c: v for c, v in loop.assign.pairs if c.nbytes and self.storage.get(v) is not self.storage[c]}
        swapped = self._swappable(loop, left)
        holders = {value: value for value in (*swapped, *swapped.values())}  # value -> pointer that holds it
        for value in holders:
            piece = self.storage[value]
            piece.home = Pointer()
            # Nothing may share a carry's memory, as it changes; its next value's may be used by the rest of
            # the body.
            piece.window = (0, -1) if value in swapped else (loop.start, loop.assign.time)
            loop.pointers.append(value)
        for cell, value in swapped.items():
            other = holders[value]
            if other is not cell:
                loop.assign.swaps.append((cell, other))
                held = next(v for v, pointer in holders.items() if pointer is cell)
                holders[value], holders[held] = cell, other
        self._sequence(loop.assign, {c: v for c, v in left.items() if c not in swapped})

    def _swappable(self, loop: Loop, left: dict[Value, Value]) -> dict[Value, Value]:
        """The carries to hand on by pointer: large, and their next value is another one of them or made in
        the body."""

        def free(piece: Storage | None) -> bool:
            return piece is not None and piece.home is None and piece.window is None

        chosen = {
            c: v
            for c, v in left.items()
            if c.nbytes >= SMALLEST_SWAP
            and free(self.storage[c])
            and free(self.storage.get(v))
            and len(self.storage[c].members) == 1
        }
        while True:
            taken: set[Storage] = set()
            kept = {}
            for cell, value in chosen.items():
                piece = self.storage[value]
                within = all(loop.start < s and e <= loop.assign.time for s, e in piece.spans)
                if piece not in taken and (value in chosen or within):
                    taken.add(piece)
                    kept[cell] = value
            if len(kept) == len(chosen):
                return kept
            chosen = kept

    def _keep_pointers(self, loop: Loop) -> None:
        """What a loop's pointers start as is in use for the whole loop, and as long as its carries are read
        after it."""
        pieces = [self.storage[v] for v in loop.pointers]
        spans: list[Span] = [(loop.begin, loop.end)]
        for piece in pieces:
            spans = _union(spans, piece.spans)
        for piece in pieces:
            piece.spans = spans

    def _sequence(self, assign: Assign, left: dict[Value, Value]) -> None:
        """Order the copies of a parallel assignment; where they go round in a circle, one value steps
        aside."""
        while left:
            sources = {id(self.storage.get(v)) for v in left.values()}
            ready = [c for c in left if id(self.storage[c]) not in sources]
            for cell in ready:
                assign.copies.append((cell, left.pop(cell)))
            if not ready:
                cell = next(iter(left))
                aside = Value(cell.shape, cell.dtype)
                self.storage[aside] = Storage(aside, [(assign.time, assign.time)])
                assign.copies.append((aside, cell))
                for c, v in left.items():
                    if self.storage.get(v) is self.storage[cell]:
                        left[c] = aside


def _rounded(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


def _union(a: Sequence[Span], b: Sequence[Span]) -> list[Span]:
    """The times of both, as few spans in order."""
    out: list[Span] = []
    for start, end in sorted((*a, *b)):
        if out and start <= out[-1][1]:
            out[-1] = out[-1][0], max(end, out[-1][1])
        else:
            out.append((start, end))
    return out


def _intersection(a: Span | None, b: Span | None) -> Span | None:
    if a is None or b is None:
        return a or b
    return max(a[0], b[0]), min(a[1], b[1])


def _common(a: Sequence[Span], b: Sequence[Span]) -> list[Span]:
    """The times that are in both."""
    return _union([(max(s, t), min(e, f)) for s, e in a for t, f in b if max(s, t) <= min(e, f)], [])


def _overlaps(a: Storage, b: Storage) -> Iterator[tuple[Span, Span]]:
    """The spans of a and b that have a time in common."""
    i = j = 0
    while i < len(a.spans) and j < len(b.spans):
        (s, e), (t, f) = a.spans[i], b.spans[j]
        if max(s, t) <= min(e, f):
            yield (s, e), (t, f)
        if e < f:
            i += 1
        else:
            j += 1


def _arrange(pieces: Sequence[Storage]) -> int:
    """Give every piece an offset, so that pieces in use at one time lie apart; the bytes needed."""
    count = sum(len(p.spans) for p in pieces)
    starts, ends, lows, highs = (np.zeros(count, np.int64) for _ in range(4))
    placed = total = 0
    for piece in sorted(pieces, key=lambda p: (-p.nbytes, p.spans[0])):
        size = _rounded(piece.nbytes)
        busy = np.zeros(placed, bool)
        for start, end in piece.spans:
            busy |= (starts[:placed] <= end) & (ends[:placed] >= start)
        piece.offset = _gap(lows[:placed][busy], highs[:placed][busy], size)
        for start, end in piece.spans:
            starts[placed], ends[placed] = start, end
            lows[placed], highs[placed] = piece.offset, piece.offset + size
            placed += 1
        total = max(total, piece.offset + size)
    return total


def _gap(lows: np.ndarray, highs: np.ndarray, size: int) -> int:
    """The offset of the smallest gap of at least `size` bytes between taken ranges, or the end of the
    last."""
    if not len(lows):
        return 0
    order = np.argsort(lows, kind="stable")
    before = np.concatenate(([0], np.maximum.accumulate(highs[order])))
    gaps = lows[order] - before[:-1]
    fits = np.flatnonzero(gaps >= size)
    return int(before[fits[np.argmin(gaps[fits])]]) if len(fits) else int(before[-1])
