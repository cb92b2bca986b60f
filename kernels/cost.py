"""Estimates of a program's arithmetic and memory traffic, call by call, from the sizes in its plan."""

from __future__ import annotations

import math
from collections.abc import Iterable

from fnn.core.source import Source, short
from fnn.kernels.control import Assign, Copy, Loop, Run, Step, Switch
from fnn.kernels.loops import MATHEMATICS, Block, Program, Value
from fnn.kernels.plan import Plan
from fnn.records import record

_FLOPS = {
    "add": 1,
    "sub": 1,
    "mul": 1,
    "div": 1,
    "rem": 1,
    "neg": 1,
    "abs": 1,
    "min": 1,
    "max": 1,
    "sqrt": 1,
    "fma": 2,
}
_INTEGER = {
    "add": int.__add__, "sub": int.__sub__, "mul": int.__mul__, "min": min, "max": max,
    "div": lambda a, b: int(a / b) if b else 0, "rem": lambda a, b: int(math.fmod(a, b)) if b else 0,
}  # fmt: skip


@record(frozen=True)
class CallCost:
    """One call: floating-point operations, evaluations of exp, sin and the like, bytes read and written, and
    how often the program makes it (where a while loop surrounds it: in one round of that). exact: False where
    a count is a guess, because the kernel's own loops depend on its data."""

    label: str
    kernel: str
    sources: tuple[Source, ...]
    flops: float
    transcendentals: float
    bytes: int
    times: int
    exact: bool


@record(frozen=True)
class Cost:
    """flops, transcendentals, bytes: of one run of the program. Of a switch the dearest branch counts; of a
    while loop, whose number of rounds nobody knows (`rounds_unknown`), one round. Bytes are those the calls
    move, were there no caches."""

    calls: tuple[CallCost, ...]
    flops: float
    transcendentals: float
    bytes: int
    rounds_unknown: bool

    def __str__(self) -> str:
        lines = [f"{'flops':>16} {'functions':>14} {'bytes':>14} {'times':>7}  call"]
        for k, c in enumerate(self.calls, 1):
            about = "" if c.exact else "  (at least)"
            where = f"  {short(c.sources[0])}" if c.sources else ""
            lines.append(
                f"{c.flops:16,.0f} {c.transcendentals:14,.0f} {c.bytes:14,} {c.times:7,}  "
                f"#{k} {c.label}{about}{where}"
            )
        rounds = ", with one round of each while loop" if self.rounds_unknown else ""
        total = f"{self.flops:16,.0f} {self.transcendentals:14,.0f} {self.bytes:14,}"
        return "\n".join([*lines, f"{total} {'':7}  in all{rounds}"])


def cost_of(plan: Plan) -> Cost:
    """What the calls of a plan cost."""
    counter = _Counter()
    flops, transcendentals, nbytes = counter.steps(plan.program.steps, 1)
    return Cost(tuple(counter.calls), flops, transcendentals, int(nbytes), counter.rounds_unknown)


Sums = tuple[float, float, float]


class _Counter:
    def __init__(self) -> None:
        self.calls: list[CallCost] = []
        self.rounds_unknown = False

    def steps(self, steps: Iterable[Step], times: int) -> Sums:
        """flops, transcendentals and bytes of doing the steps so many times."""
        sums = [self.step(step, times) for step in steps]
        return (sum(s[0] for s in sums), sum(s[1] for s in sums), sum(s[2] for s in sums))

    def step(self, step: Step, times: int) -> Sums:
        if isinstance(step, Run):
            return self.run(step, times)
        if isinstance(step, Copy):
            return 0.0, 0.0, 2.0 * step.target.nbytes * times
        if isinstance(step, Assign):
            return 0.0, 0.0, 2.0 * sum(target.nbytes for target, _ in step.copies) * times
        if isinstance(step, Switch):
            branches = [self.steps(branch, times) for branch in step.branches]
            return (max(b[0] for b in branches), max(b[1] for b in branches), max(b[2] for b in branches))
        if step.rounds is None:
            self.rounds_unknown = True
        assert isinstance(step, Loop)
        return self.steps([*step.test, *step.body], times * (1 if step.rounds is None else step.rounds))

    def run(self, step: Run, times: int) -> Sums:
        call = step.call
        nbytes = sum(v.nbytes for v in step.reads) + sum(v.nbytes for v in step.writes)
        transcendentals, exact = 0.0, True
        if call.flops is not None:
            flops = call.flops
        else:
            assert call.program is not None
            flops, transcendentals, exact = count(call.program(), call.tiles)
        self.calls.append(
            CallCost(call.label, call.key, call.sources, flops, transcendentals, nbytes, times, exact)
        )
        return flops * times, transcendentals * times, nbytes * times


def count(program: Program, tiles: int) -> tuple[float, float, bool]:
    """Floating-point operations and transcendental functions of a kernel for all its tiles; whether the
    loops' lengths were all known. A bound that varies with an outer index is taken at the middle of that
    index."""
    counting = _Operations(program, tiles)
    flops, transcendentals = counting.block(program.body)
    return flops, transcendentals, counting.exact


class _Operations:
    def __init__(self, program: Program, tiles: int):
        self.program, self.tiles = program, tiles
        self.known: dict[Value, int] = {}
        self.exact = True

    def number(self, value: Value) -> int | None:
        """The integer a value is, as far as sizes say it."""
        if value.op == "const":
            return int(value.payload)  # type: ignore[call-overload]  # a number
        if value.op == "size":
            return self.program.sizes[value.payload]  # type: ignore[index]  # its position
        return self.known.get(value)

    def block(self, block: Block) -> tuple[float, float]:
        flops = transcendentals = 0.0
        for item in block.items:
            if isinstance(item, Value):
                if item.dtype[0] == "f" and item.dtype != "b1":
                    flops += _FLOPS.get(item.op, 0)
                    transcendentals += item.op in MATHEMATICS
                elif item.op in _INTEGER:
                    args = [self.number(a) for a in item.args]
                    if None not in args:
                        self.known[item] = _INTEGER[item.op](*args)
                continue
            if item.kind == "accumulate":
                flops += item.args[0].dtype[0] == "f"
            inner = [self.inside(item.kind, item.args, b) for b in item.blocks]
            flops += sum(f for f, _ in inner)
            transcendentals += sum(t for _, t in inner)
        return flops, transcendentals

    def inside(self, kind: str, args: tuple, block: Block) -> tuple[float, float]:
        rounds = 1
        if kind == "tiles":
            rounds = self.tiles
            self.known[args[0]] = rounds // 2
        elif kind in ("loop", "lanes"):
            lo, hi, step = self.number(args[1]), self.number(args[2]), args[3] if kind == "loop" else 1
            if lo is None or hi is None:
                self.exact = False
            else:
                rounds = max(0, -(-(hi - lo) // step))
                self.known[args[0]] = (lo + hi) // 2
        elif kind == "while":
            self.exact = False
        flops, transcendentals = self.block(block)
        return rounds * flops, rounds * transcendentals
