"""The driver's rows, tables and calls."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from driver_tables import I64, TEXTS, Builder, affine, run

from fnn.errors import ArgumentError
from fnn.kernels.cpu import buffers, machine
from fnn.kernels.cpu import driver as d


@pytest.fixture(scope="module")
def addresses() -> dict[str, int]:
    return {name[1:]: address for name, address in machine.compile_text(TEXTS).items()}


# ----------------------------------------------------------------------------------------------------- rows


def test_kernels_run_in_order_through_the_arena(addresses):
    x = np.arange(10)
    assert np.array_equal(run(affine(10), addresses, x, size=10), 3 * (2 * x + 1) + 5)


def test_no_tiles_call_nothing(addresses):
    assert np.array_equal(run(affine(0), addresses, np.arange(3), size=3), np.zeros(3))


def test_loops_move_bases_and_nest(addresses):
    # for i in 3: for j in 4: out[i] += x[i, j]; the bases are as before after each loop.
    b = Builder(1, 1, [], free=2)
    x_row, out = b.bases - 2, b.bases - 1
    b.row(d.bases_row(*b.arguments((1, 0), (2, 0)), x_row))
    b.moves = [(x_row, 32), (out, 8), (x_row, 8)]
    b.row(d.loop_row(3, 2, 0, 2))
    b.row(d.loop_row(4, 1, 2, 1))
    b.call("accumulate", (x_row, 0), (out, 0))
    b.call("accumulate", (x_row, 0), (out, 0))  # once more the first element into the first output
    x = np.arange(12).reshape(3, 4) + 1
    expected = x.sum(1)
    expected[0] += x[0, 0]
    assert np.array_equal(run(b.table(), addresses, x, size=3), expected)


def test_loops_run_backwards_from_set_bases(addresses):
    # out[i] = 10 * x[n - 1 - i]
    b = Builder(1, 1, [10, 0], free=2)
    x, out = b.bases - 2, b.bases - 1
    b.row(d.bases_row(*b.arguments((1, 8 * 4), (2, 0)), x))
    b.moves = [(x, -8), (out, 8)]
    b.row(d.loop_row(5, 1, 0, 2))
    b.call("affine", (x, 0), (out, 0), b.word(0))
    assert np.array_equal(run(b.table(), addresses, np.arange(5), size=5), 10 * np.arange(5)[::-1])


@pytest.mark.parametrize(
    "dtype, width, index",
    [(t, w, i) for t, w in ((np.int32, 4), (np.int64, 8)) for i in (-7, 0, 1, 2, 3, 99)]
    + [(np.bool_, 1, False), (np.bool_, 1, True)],
)
def test_switch_runs_exactly_one_branch(addresses, dtype, width: int, index: int):
    b = Builder(2, 1, [1, 100, 1, 200, 1, 300, 1, 1])
    b.row(d.switch_row(b.arguments((2, 0))[0], 3, width, 3 + 1 + 2 + 1))
    b.row(d.branch_row(1))
    b.call("affine", (1, 0), (3, 0), b.word(0))
    b.row(d.branch_row(2))
    b.call("affine", (1, 0), (3, 0), b.word(2))
    b.call("affine", (3, 0), (3, 0), b.word(6))
    b.row(d.branch_row(1))
    b.call("affine", (1, 0), (3, 0), b.word(4))
    b.call("affine", (3, 0), (3, 0), b.word(6))  # after the switch: + 1
    got = run(b.table(), addresses, np.array([5]), np.array([index], dtype))
    assert got[0] == 5 + [100, 201, 300][min(max(index, 0), 2)] + 1


def test_while_repeats_until_its_condition_fails(addresses):
    # y = x; while y < 1000: y = 2 * y + 1
    b = Builder(1, 1, [1000, 2, 1, 1, 0])
    b.call("affine", (1, 0), (2, 0), b.word(3))
    b.row(d.while_row(b.arguments((0, 64))[0], 1, 1))
    b.call("less", (2, 0), (0, 64), b.word(0))
    b.call("affine", (2, 0), (2, 0), b.word(1))
    table = b.table()
    for x in (3, 999, 1000, -1):
        y, rounds = x, 0
        while y < 1000 and rounds < 100:
            y, rounds = 2 * y + 1, rounds + 1
        if x >= 0:
            assert run(table, addresses, np.array([x]))[0] == y


def test_swap_and_copy(addresses):
    # Fibonacci numbers by exchanging carries: a, b = b, a + b
    b = Builder(0, 1, [0, 1], free=2)
    a, c = b.bases - 2, b.bases - 1
    b.row(d.bases_row(*b.arguments((0, 0), (0, 64)), a))
    b.row(d.copy_row(b.arguments((a, 0), b.word(0))[0], 8))
    b.row(d.copy_row(b.arguments((c, 0), b.word(1))[0], 8))
    b.moves = [(a, c)]
    b.row(d.loop_row(11, 2))
    b.call("accumulate", (c, 0), (a, 0))
    b.row(d.swap_row(0))
    b.row(d.copy_row(b.arguments((1, 0), (c, 0))[0], 8))
    runner, out = d.Runner(b.table(), addresses), np.zeros(1, I64)
    for _ in range(3):  # an odd number of swaps leaves no trace in the next call
        runner.run((), (out,))
        assert out[0] == 144


def test_everything_nested(addresses):
    # for x in xs: y = x; while y < 50: (y = 2y + 1 if the switch is 0, else y = 3y + 2); total += y
    b = Builder(2, 1, [50, 2, 1, 3, 2, 1, 0, 0], free=1)
    x, y, flag, bool_at = b.bases - 1, (0, 0), (2, 0), (0, 64)
    b.row(d.copy_row(b.arguments((3, 0), b.word(7))[0], 8))
    b.row(d.bases_row(*b.arguments((1, 0)), x))
    b.moves = [(x, 8)]
    b.row(d.loop_row(6, 9, 0, 1))
    b.call("affine", (x, 0), y, b.word(5))
    b.row(d.while_row(b.arguments(bool_at)[0], 1, 5))
    b.call("less", y, bool_at, b.word(0))
    b.row(d.switch_row(b.arguments(flag)[0], 2, 1, 4))
    b.row(d.branch_row(1))
    b.call("affine", y, y, b.word(1))
    b.row(d.branch_row(1))
    b.call("affine", y, y, b.word(3))
    b.call("accumulate", y, (3, 0))
    table = b.table()
    xs = np.array([1, 49, 50, 7, 0, 80])
    for which in (False, True):
        total = 0
        for v in xs.tolist():
            while v < 50:
                v = 3 * v + 2 if which else 2 * v + 1
            total += v
        assert run(table, addresses, xs, np.array([which]))[0] == total


class Programs:
    """Random nests of rows, and what they compute: variables are the output's words."""

    VARIABLES = 5

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.b = Builder(1, 1, list(range(-3, 12)), free=16, arena=64)
        self.next_base = self.b.bases - 16
        self.steps = 0

    def word(self) -> tuple[tuple[int, int], int]:
        """A place of two constants a, b, and a; b is a + 1."""
        i = self.random.randrange(13)
        return self.b.word(i), i - 3

    def block(self, depth: int) -> list:
        return [self.statement(depth) for _ in range(self.random.randint(1, 3))]

    def statement(self, depth: int) -> tuple:
        """Writes the rows of a statement and returns it for `interpret`."""
        kinds = ["affine", "add", "copy"] + (["loop", "loop", "switch", "while"] if depth else [])
        kind, b = self.random.choice(kinds), self.b
        x, y = self.random.randrange(self.VARIABLES), self.random.randrange(self.VARIABLES)
        if kind == "affine":
            words, a = self.word()
            b.call("affine", (2, 8 * x), (2, 8 * y), words)
            return kind, x, y, a
        if kind == "add":
            b.call("accumulate", (2, 8 * x), (2, 8 * y))
            return kind, x, y
        if kind == "copy":
            b.row(d.copy_row(b.arguments((2, 8 * y), (2, 8 * x))[0], 8))
            return kind, x, y
        if kind == "loop":  # adds the inputs it passes to a variable
            base, rounds = self.next_base, self.random.randrange(4)
            self.next_base += 1
            b.row(d.bases_row(*b.arguments((1, 0)), base))
            b.moves.append((base, 8))
            move, at = len(b.moves) - 1, b.row([])
            b.call("accumulate", (base, 0), (2, 8 * x))
            body = self.block(depth - 1)
            b.rows[at] = d.loop_row(rounds, len(b.rows) - at - 1, move, 1)
            return kind, x, rounds, body
        if kind == "switch":
            at, branches = b.row([]), []
            for _ in range(self.random.randint(1, 3)):
                header = b.row([])
                branches.append(self.block(depth - 1))
                b.rows[header] = d.branch_row(len(b.rows) - header - 1)
            index = b.arguments((2, 8 * x))[0]
            b.rows[at] = d.switch_row(index, len(branches), 8, len(b.rows) - at - 1)
            return kind, x, branches
        # A counter of the loop's own, in the words after the variables, bounds its rounds.
        counter = self.VARIABLES + self.next_base - (b.bases - 16)
        self.next_base += 1
        rounds, one = self.random.randrange(4), b.word(4)
        b.row(d.copy_row(b.arguments((2, 8 * counter), b.word(3))[0], 8))
        at, flag = b.row([]), (0, 8 * self.random.randrange(8))
        b.call("accumulate", one, (2, 8 * counter))
        b.call("less", (2, 8 * counter), flag, b.word(rounds + 3))
        condition = len(b.rows) - at - 1
        body = self.block(depth - 1)
        b.rows[at] = d.while_row(b.arguments(flag)[0], condition, len(b.rows) - at - 1 - condition)
        return kind, rounds, body

    def interpret(self, block: list, v: list[int], x: list[int]) -> None:
        for kind, *s in block:
            self.steps += 1
            if kind == "affine":
                v[s[1]] = wrap(s[2] * v[s[0]] + s[2] + 1)
            elif kind == "add":
                v[s[1]] = wrap(v[s[0]] + v[s[1]])
            elif kind == "copy":
                v[s[1]] = v[s[0]]
            elif kind == "loop":
                for i in range(s[1]):
                    v[s[0]] = wrap(v[s[0]] + x[i])
                    self.interpret(s[2], v, x)
            elif kind == "switch":
                self.interpret(s[1][min(max(v[s[0]], 0), len(s[1]) - 1)], v, x)
            else:
                for _ in range(max(s[0] - 1, 0)):
                    self.interpret(s[1], v, x)


def wrap(value: int) -> int:
    """Integers as 64 bits hold them."""
    return (value + 2**63) % 2**64 - 2**63


def test_random_nests_compute_what_they_say(addresses):
    kinds = set()
    for seed in range(150):
        p = Programs(seed)
        block = [p.statement(3) for _ in range(4)]
        if p.next_base > p.b.bases:  # more loops than it has bases for
            continue
        kinds.add(tuple(sorted({s[0] for s in block})))
        x, v = np.arange(4) * 7 - 5, [0] * Programs.VARIABLES
        p.interpret(block, v, x.tolist())
        table = p.b.table()
        got = run(table, addresses, x, size=Programs.VARIABLES + 16)
        assert got[: Programs.VARIABLES].tolist() == v, f"seed {seed}, {p.steps} steps"
    assert len(kinds) > 20


def test_tables_are_checked():
    def broken(change, message: str) -> None:
        table = affine(4)
        change(table)
        with pytest.raises(ArgumentError, match=message):
            table.check()

    affine(4).check()
    broken(lambda t: t.rows.__setitem__((0, d.KIND), 9), "unknown kind")
    broken(lambda t: t.rows.__setitem__((1, d.COUNT), 9), "arguments are outside")
    broken(lambda t: t.args.__setitem__((0, 0), 4), "base that does not exist")
    broken(lambda t: setattr(t, "kernels", ["affine", ""]), "kernel's name")
    broken(lambda t: setattr(t, "constants", {1: np.zeros(1)}), "used twice")
    broken(lambda t: setattr(t, "bases", 3), "does not exist|outside")
    for rows, message in (
        ([d.loop_row(2, 3)], "body of row 0"),
        ([d.loop_row(2, 2), d.loop_row(2, 2), d.loop_row(2, 0)], "body of row 1"),
        ([d.switch_row(0, 2, 4, 1), d.branch_row(0)], "branches"),
        ([d.switch_row(0, 1, 3, 1), d.branch_row(0)], "branches"),
        ([d.while_row(0, 2, -1), d.loop_row(1, 0)], "body of row 0"),
        ([d.loop_row(2, 0, 0, 1)], "moves are outside"),
        ([d.bases_row(0, 1, 9)], "cannot be set"),
    ):
        table = d.Table(np.array(rows), np.zeros((1, 2), I64), [""] * len(rows), 0, 0, 1, 2)
        with pytest.raises(ArgumentError, match=message):
            table.check()


def test_tables_survive_storage(addresses):
    table = affine(10)
    table.bases += 2
    table.constants[table.bases - 2] = np.arange(5, dtype=np.float32)
    table.symbols[table.bases - 1] = "dpotrf"
    stored = table.to_bytes({"shapes": [[10]]})
    back, extra = d.Table.from_bytes(stored)
    assert extra == {"shapes": [[10]]}
    assert back.symbols == table.symbols and back.kernels == table.kernels
    assert np.array_equal(back.constants[table.bases - 2].view(np.float32), np.arange(5, dtype=np.float32))
    x = np.arange(10)
    assert np.array_equal(run(back, addresses, x, size=10), 6 * x + 8)
    for cut in (0, 7, 100, len(stored) - 1):
        with pytest.raises(ValueError):
            d.Table.from_bytes(stored[:cut])


# ---------------------------------------------------------------------------------------------------- calls


def test_awkward_inputs_are_copied_and_awkward_outputs_refused(addresses, monkeypatch):
    class Mine(np.ndarray):
        pass

    runner, out = d.Runner(affine(4), addresses), np.zeros(4, I64)
    x = np.arange(4)
    unaligned = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.int64)
    for awkward in (np.repeat(x, 2)[::2], x.view(Mine), unaligned, x[::-1][::-1]):
        runner.run((awkward,), (out,))
        assert np.array_equal(out, 6 * x + 8)
        out[:] = 0
    frozen = np.zeros(4, I64)
    frozen.flags.writeable = False
    refused: list[Any] = [(np.zeros(8, I64)[::2],), (frozen,), ([1, 2, 3, 4],), (), (out, out)]
    for outputs in refused:
        with pytest.raises(ArgumentError, match="output"):
            runner.run((x,), outputs)
    with pytest.raises(ArgumentError, match="1 inputs"):
        runner.run((x, x), (out,))
    runner.run((x,), (out,))
    assert np.array_equal(out, 6 * x + 8)
    assert len(runner._calls) == 1  # errors lose no call's memory


def test_addresses_can_be_given_by_python_where_layouts_are_unknown(addresses, monkeypatch):
    assert buffers.LAYOUT.items, "CPython's layout was not recognised"
    monkeypatch.setattr(d, "LAYOUT", buffers.UNKNOWN)
    x = np.arange(10)
    assert np.array_equal(run(affine(10), addresses, x, size=10), 6 * x + 8)


def test_profile_gives_the_time_of_each_kernel(addresses):
    runner, out = d.Runner(affine(100_000), addresses), np.zeros(100_000, I64)
    x = np.arange(100_000)
    spent = runner.profile((x,), (out,))
    assert np.array_equal(out, 6 * x + 8)
    assert spent.shape == (2,) and np.all(spent > 1000) and np.all(spent < 1e9)
