"""The table of a program: what a planner fills and the driver walks.

**Kernels.** `void kernel(ptr arguments, i64 lo, i64 hi)`: `arguments` is an array of addresses, and the
kernel does the tiles lo <= t < hi. Sizes arrive as one more argument, the address of int64 words. No kernel
may rely on how its tiles are divided: the driver calls it from several threads, for ranges that begin at
multiples of `chunk`.

**Bases.** Every address is `bases[number] + byte offset`. Base 0 is the arena (scratch memory of `arena`
bytes, aligned to 64, contents undefined at the start); bases 1 ... inputs are the inputs; bases first_output
... are the outputs; `words_base` is `table.words`; `constants` and `symbols` (addresses of C functions,
passed like data: offset 0) fill bases of the planner's choice; the other numbers below `bases` are free for
BASES rows. Input and output arrays are C contiguous and aligned to their element; only buffers from `aligned`
and `Slot` to 64 bytes.

**Arguments.** `args[k] = (base number, byte offset)`. Rows name a range of them: first ... first + count - 1.

**Rows** are eight int64 words; a kind leaves the words it does not name at 0 (use `kernel_row` and the
others):

    word    0 ADDRESS  1 FIRST   2 COUNT    3 TILES      4 CHUNK  5 KIND  6 BODY               7 EXTRA
    KERNEL  (filled)   argument  arguments  tiles        chunk    0
    LOOP               move      moves      rounds                1       body's rows
    BASES              argument  arguments                        2                            first base
    SWITCH             argument  branches   index bytes           3       all branches' rows
    BRANCH                                                        4       branch's rows
    WHILE              argument                                   5       condition and body  condition's rows
    SWAP               move      swaps                            6
    COPY               argument             bytes                 7
    PYTHON  (filled)   argument  arguments                        8

- KERNEL calls a kernel for the tiles [0, tiles). With chunk 0 that is one call on the calling thread;
  otherwise threads take `chunk` tiles at a time. Nothing is called when tiles is 0. Which kernel:
  `table.kernels[row]`, the key that was given to the cache.
- LOOP runs the next `body` rows `rounds` times. After each round base b grows by s bytes for each (b, s) in
  `moves[first : first + count]`; when the loop ends those bases are as they were before it, so that loops
  nest. The body must not set the bases its own loop moves.
- BASES evaluates its arguments, in order, and stores the addresses as bases `extra`, `extra + 1`, ...: the
  moving bases of a loop start here, e.g. at the last slice of an array for a reversed scan (whose steps are
  negative).
- SWITCH is followed by `count` branches, each a BRANCH row and then the branch's rows; exactly one branch
  runs. Its index is read from the address of argument `first`: signed, of 4 or 8 bytes, or one unsigned byte
  (bool: False runs branch 0, True branch 1), clamped to [0, count). `body` counts all rows that follow,
  BRANCH rows too.
- WHILE is followed by `extra` rows that compute the condition and then by the rows of its body; `body` counts
  both. Round by round the condition's rows run, the byte at the address of argument `first` is read, and if
  it is not 0 the body's rows run.
- SWAP exchanges bases a and b for each (a, b) in `moves[first : first + count]`: a loop's carries change
  places without a copy. It stays in effect until swapped back or set again, also when the loop has ended, so
  only bases that a BASES row sets on every call may be swapped; bases that a loop around the row moves may
  not.
- PYTHON calls `i64 function(ptr arguments)` on the calling thread; it takes the interpreter's lock itself. If it
  returns anything but 0 the program ends there, with its results unfinished.
- COPY copies `tiles` bytes to argument `first` from argument `first + 1`; the two may overlap.

Rows run in order; bodies, branches and conditions may hold any rows, nested to any depth.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fnn.errors import ArgumentError
from fnn.kernels.cpu.buffers import aligned
from fnn.records import field, record

# The words of a row, and the kinds of row.
ADDRESS, FIRST, COUNT, TILES, CHUNK, KIND, BODY, EXTRA = range(8)
ROW = 8
KERNEL, LOOP, BASES, SWITCH, BRANCH, WHILE, SWAP, COPY, PYTHON = range(9)

Words = NDArray[np.int64]
Row = list[int]


def kernel_row(first: int, count: int, tiles: int, chunk: int = 0) -> Row:
    """A row that calls a kernel with `count` arguments from `first` on, for all tiles, `chunk` at a time."""
    return [0, first, count, tiles, chunk, KERNEL, 0, 0]


def python_row(first: int, count: int) -> Row:
    """A row that calls back into Python with `count` arguments from `first` on."""
    return [0, first, count, 1, 0, PYTHON, 0, 0]


def loop_row(rounds: int, body: int, first_move: int = 0, moves: int = 0) -> Row:
    """A row that runs the `body` rows after it `rounds` times, moving bases in between."""
    return [0, first_move, moves, rounds, 0, LOOP, body, 0]


def bases_row(first: int, count: int, first_base: int) -> Row:
    """A row that stores the addresses of `count` arguments as bases `first_base`, `first_base + 1`, ..."""
    return [0, first, count, 0, 0, BASES, 0, first_base]


def switch_row(index: int, branches: int, width: int, body: int) -> Row:
    """A row that runs one of `branches` branches, chosen by the integer of `width` bytes at argument
    `index`."""
    return [0, index, branches, width, 0, SWITCH, body, 0]


def branch_row(body: int) -> Row:
    """The first row of a branch of `body` further rows."""
    return [0, 0, 0, 0, 0, BRANCH, body, 0]


def while_row(predicate: int, condition: int, body: int) -> Row:
    """A row that repeats: `condition` rows, then, if the byte at argument `predicate` is not 0, `body`
    rows."""
    return [0, predicate, 0, 0, 0, WHILE, condition + body, condition]


def swap_row(first_move: int, count: int = 1) -> Row:
    """A row that exchanges the pairs of bases in `moves[first_move : first_move + count]`."""
    return [0, first_move, count, 0, 0, SWAP, 0, 0]


def copy_row(first: int, nbytes: int) -> Row:
    """A row that copies `nbytes` bytes to argument `first` from argument `first + 1`."""
    return [0, first, 0, nbytes, 0, COPY, 0, 0]


def _no_pairs() -> Words:
    return np.zeros((0, 2), np.int64)


@record()
class Table:
    """A program as numbers; the module says what they mean. It holds no addresses, so it can be stored."""

    rows: Words  # [n, 8]
    args: Words  # [m, 2] base number, byte offset
    kernels: list[str]  # a key for each row; "" where the row calls nothing
    inputs: int
    outputs: int
    first_output: int
    bases: int  # how many there are
    arena: int = 0  # bytes
    moves: Words = field(default_factory=_no_pairs)  # [k, 2] base number, bytes a round; or two base numbers
    words: Words = field(default_factory=lambda: np.zeros(0, np.int64))
    words_base: int = -1  # -1: none
    constants: dict[int, np.ndarray] = field(default_factory=dict)  # base number: its data
    symbols: dict[int, str] = field(default_factory=dict)  # base number: name of a BLAS or LAPACK function

    def __post_init__(self) -> None:
        self.rows = np.ascontiguousarray(self.rows, np.int64).reshape(-1, ROW)
        self.args = np.ascontiguousarray(self.args, np.int64).reshape(-1, 2)
        self.moves = np.ascontiguousarray(self.moves, np.int64).reshape(-1, 2)
        self.words = np.ascontiguousarray(self.words, np.int64).reshape(-1)

    def check(self) -> None:
        """Raise ArgumentError if a row, an argument or a base points outside the table (offsets may)."""

        def require(condition: Any, message: str) -> None:
            if not condition:
                raise ArgumentError(f"driver table: {message}")

        def within(first: np.ndarray, count: np.ndarray | int, size: int) -> bool:
            return bool(np.all((first >= 0) & (count >= 0) & (first + count <= size)))

        rows, kind = self.rows, self.rows[:, KIND]
        require(len(self.kernels) == len(rows), f"{len(rows)} rows, {len(self.kernels)} kernel names")
        require(within(kind, 1, PYTHON + 1), "a row of unknown kind")
        named = np.fromiter((k != "" for k in self.kernels), bool, len(rows))
        calling = (kind == KERNEL) | (kind == PYTHON)
        require(np.array_equal(named, calling), "exactly the KERNEL and PYTHON rows have a kernel's name")
        require(within(self.args[:, 0], 1, self.bases), "an argument names a base that does not exist")
        first, count = rows[:, FIRST], rows[:, COUNT].copy()
        count[(kind == SWITCH) | (kind == WHILE)], count[kind == COPY] = 1, 2
        moving, plain = (kind == LOOP) | (kind == SWAP), kind == BRANCH
        require(within(first[moving], count[moving], len(self.moves)), "a row's moves are outside the moves")
        arguing = ~moving & ~plain
        require(
            within(first[arguing], count[arguing], len(self.args)),
            "a row's arguments are outside the arguments",
        )
        for r in rows[moving]:
            pairs = self.moves[r[FIRST] : r[FIRST] + r[COUNT]]
            pairs = pairs if r[KIND] == SWAP else pairs[:, :1]
            require(bool(np.all((pairs >= 1) & (pairs < self.bases))), "a move names a base that cannot move")
        setting = rows[kind == BASES]
        require(
            within(setting[:, EXTRA] - 1, setting[:, COUNT], self.bases - 1),
            "a BASES row sets a base that cannot be set",
        )
        require(
            bool(np.all(rows[:, TILES] >= 0) and np.all(rows[:, CHUNK] >= 0)),
            "negative tiles, rounds or chunk",
        )
        filled = [0, *range(1, 1 + self.inputs), *range(self.first_output, self.first_output + self.outputs)]
        filled += [*self.constants, *self.symbols, *([self.words_base] if self.words_base >= 0 else [])]
        require(len(set(filled)) == len(filled), "a base is used twice")
        require(min(filled) >= 0 and max(filled) < self.bases, f"a base is outside 0 ... {self.bases - 1}")
        self._check_bodies(0, len(rows))

    def _check_bodies(self, start: int, end: int) -> None:
        pending = [(start, end)]
        while pending:
            start, end = pending.pop()
            body = self.rows[start:end, BODY]
            for at in (start + np.flatnonzero(body | (self.rows[start:end, KIND] == SWITCH))).tolist():
                if at < start:  # inside a body already queued
                    continue
                row = self.rows[at].tolist()
                stop = at + 1 + row[BODY]
                inside = (
                    row[BODY] >= 0 and stop <= end and 0 <= row[EXTRA] * (row[KIND] == WHILE) <= row[BODY]
                )
                if not inside:
                    raise ArgumentError(
                        f"driver table: the body of row {at} does not lie inside the rows around it"
                    )
                if row[KIND] == SWITCH:
                    branch = at + 1
                    for _ in range(row[COUNT]):
                        if branch >= stop or self.rows[branch, KIND] != BRANCH:
                            raise ArgumentError(
                                f"driver table: row {at} has not the {row[COUNT]} branches it names"
                            )
                        branch += 1 + int(self.rows[branch, BODY])
                    if branch != stop or row[COUNT] < 1 or row[TILES] not in (1, 4, 8):
                        raise ArgumentError(f"driver table: the branches of row {at} do not fill its body")
                if row[KIND] == WHILE:
                    pending += [(at + 1, at + 1 + row[EXTRA]), (at + 1 + row[EXTRA], stop)]
                elif row[BODY]:
                    pending.append((at + 1, stop))
                start = stop

    def to_bytes(self, extra: Any = None) -> bytes:
        """The table, and anything JSON can hold beside it, as bytes for `cache.save_plan`."""
        names = list(dict.fromkeys(self.kernels))
        number = {name: i for i, name in enumerate(names)}
        constants = [np.ascontiguousarray(c) for c in self.constants.values()]
        head = {
            "plain": [self.inputs, self.outputs, self.first_output, self.bases, self.arena, self.words_base],
            "sizes": [len(self.rows), len(self.args), len(self.moves), len(self.words)],
            "names": names,
            "kernels": [number[k] for k in self.kernels],
            "constants": [(b, c.nbytes) for b, c in zip(self.constants, constants, strict=True)],
            "symbols": list(self.symbols.items()),
            "extra": extra,
        }
        text = json.dumps(head, separators=(",", ":")).encode()
        arrays = (self.rows, self.args, self.moves, self.words, *constants)
        return b"".join((struct.pack("<q", len(text)), text, *(a.tobytes() for a in arrays)))

    @classmethod
    def from_bytes(cls, data: bytes) -> tuple[Table, Any]:
        """The table that `to_bytes` wrote (constants come back as bytes) and what was put beside it.

        Raises:
            ValueError: the bytes are not a table's.
        """
        try:
            (size,) = struct.unpack_from("<q", data)
            head = json.loads(data[8 : 8 + size])
            at, arrays = 8 + size, []
            for length, width in zip(head["sizes"], (ROW, 2, 2, 1), strict=True):
                arrays.append(np.frombuffer(data, np.int64, length * width, at).copy())
                at += 8 * length * width
            constants = {}
            for base, nbytes in head["constants"]:
                constants[base] = aligned(nbytes)
                constants[base][:] = np.frombuffer(data, np.uint8, nbytes, at)
                at += nbytes
            inputs, outputs, first_output, bases, arena, words_base = head["plain"]
            rows, args, moves, words = arrays
            kernels = [head["names"][i] for i in head["kernels"]]
            symbols, extra = dict(head["symbols"]), head["extra"]
        except (KeyError, IndexError, TypeError, struct.error) as error:
            raise ValueError(f"not a stored table: {error}") from error
        table = cls(
            rows, args, kernels, inputs, outputs, first_output, bases, arena, moves, words, words_base,
            constants, symbols,
        )  # fmt: skip
        return table, extra
