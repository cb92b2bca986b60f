"""Tables and tiny kernels for the tests of the driver."""

from __future__ import annotations

import numpy as np

from fnn.kernels.cpu import driver as d

I64 = np.dtype(np.int64)

# out[t] = a * in[t] + b for each tile t; words a, b.
AFFINE = """
define void @kaffine(ptr %p, i64 %lo, i64 %hi) {
entry:
  %p1 = getelementptr ptr, ptr %p, i64 1
  %p2 = getelementptr ptr, ptr %p, i64 2
  %in = load ptr, ptr %p
  %out = load ptr, ptr %p1
  %w = load ptr, ptr %p2
  %w1 = getelementptr i64, ptr %w, i64 1
  %a = load i64, ptr %w
  %b = load i64, ptr %w1
  br label %head
head:
  %t = phi i64 [%lo, %entry], [%t1, %body]
  %more = icmp slt i64 %t, %hi
  br i1 %more, label %body, label %out.of
body:
  %x.at = getelementptr i64, ptr %in, i64 %t
  %y.at = getelementptr i64, ptr %out, i64 %t
  %x = load i64, ptr %x.at
  %ax = mul i64 %a, %x
  %y = add i64 %ax, %b
  store i64 %y, ptr %y.at
  %t1 = add i64 %t, 1
  br label %head
out.of:
  ret void
}
"""
# out[0] += in[0], one tile
ACCUMULATE = """
define void @kaccumulate(ptr %p, i64 %lo, i64 %hi) {
  %p1 = getelementptr ptr, ptr %p, i64 1
  %in = load ptr, ptr %p
  %out = load ptr, ptr %p1
  %x = load i64, ptr %in
  %y = load i64, ptr %out
  %z = add i64 %x, %y
  store i64 %z, ptr %out
  ret void
}
"""
# byte out[0] = in[0] < words[0]
LESS = """
define void @kless(ptr %p, i64 %lo, i64 %hi) {
  %p1 = getelementptr ptr, ptr %p, i64 1
  %p2 = getelementptr ptr, ptr %p, i64 2
  %in = load ptr, ptr %p
  %out = load ptr, ptr %p1
  %w = load ptr, ptr %p2
  %x = load i64, ptr %in
  %y = load i64, ptr %w
  %c = icmp slt i64 %x, %y
  %b = zext i1 %c to i8
  store i8 %b, ptr %out
  ret void
}
"""
TEXTS = {"kaffine": AFFINE, "kaccumulate": ACCUMULATE, "kless": LESS}


class Builder:
    """Rows and arguments as a planner makes them.  Bases: 0 arena, inputs, outputs, words, then free ones."""

    def __init__(self, inputs: int, outputs: int, words: list[int], free: int = 0, arena: int = 256):
        self.rows: list[list[int]] = []
        self.names: list[str] = []
        self.args: list[tuple[int, int]] = []
        self.inputs, self.outputs, self.words, self.arena = inputs, outputs, words, arena
        self.words_base = 1 + inputs + outputs
        self.bases = self.words_base + 1 + free
        self.moves: list[tuple[int, int]] = []

    def arguments(self, *args: tuple[int, int]) -> tuple[int, int]:
        self.args += args
        return len(self.args) - len(args), len(args)

    def word(self, i: int) -> tuple[int, int]:
        return self.words_base, 8 * i

    def row(self, row: list[int], name: str = "") -> int:
        self.rows.append(row)
        self.names.append(name)
        return len(self.rows) - 1

    def call(self, name: str, *args: tuple[int, int], tiles: int = 1, chunk: int = 0) -> None:
        self.row(d.kernel_row(*self.arguments(*args), tiles, chunk), name)

    def table(self) -> d.Table:
        return d.Table(
            np.array(self.rows), np.array(self.args, I64), self.names, self.inputs, self.outputs,
            1 + self.inputs, self.bases, self.arena, np.array(self.moves, I64),
            np.array(self.words, I64), self.words_base,
        )  # fmt: skip


def run(table: d.Table, addresses: dict[str, int], *inputs: np.ndarray, size: int = 1) -> np.ndarray:
    outputs = tuple(np.zeros(size, I64) for _ in range(table.outputs))
    d.Runner(table, addresses).run(inputs, outputs)
    return outputs[0] if len(outputs) == 1 else np.stack(outputs)


def affine(n: int, chunk: int = 0) -> d.Table:
    """out = 3 * (2 * in + 1) + 5 through the arena."""
    b = Builder(1, 1, [2, 1, 3, 5], arena=8 * n)
    b.call("affine", (1, 0), (0, 0), b.word(0), tiles=n, chunk=chunk)
    b.call("affine", (0, 0), (2, 0), b.word(2), tiles=n, chunk=chunk)
    return b.table()
