"""Where the time of a compiled program goes, call by call."""

from __future__ import annotations

import numpy as np

from fnn.core.source import Source, short
from fnn.kernels.calls import Call
from fnn.kernels.control import Run, walk
from fnn.kernels.library import routine
from fnn.kernels.plan import Plan
from fnn.records import record


@record(frozen=True)
class CallTime:
    """Seconds that one call took in one run of the program, in all rounds of the loops around it."""

    label: str
    kernel: str
    sources: tuple[Source, ...]
    seconds: float


@record(frozen=True)
class Profile:
    """The calls in the order of the plan; seconds: their sum."""

    calls: tuple[CallTime, ...]

    @property
    def seconds(self) -> float:
        return sum(c.seconds for c in self.calls)

    def __str__(self) -> str:
        total = self.seconds or 1.0
        lines = [f"{'us':>12} {'share':>7}  call"]
        for k, c in sorted(enumerate(self.calls, 1), key=lambda item: -item[1].seconds):
            where = f"  {short(c.sources[0])}" if c.sources else ""
            lines.append(
                f"{c.seconds * 1e6:12.2f} {c.seconds / total:7.1%}  #{k} {c.label}  {c.kernel}{where}"
            )
        return "\n".join([*lines, f"{self.seconds * 1e6:12.2f}          in all"])


def profile_of(plan: Plan, nanoseconds: np.ndarray) -> Profile:
    """The profile of a plan from the time each of its table's rows took (int64 [rows])."""
    spent = nanoseconds[[bool(key) for key in plan.table.kernels]].tolist()
    runs = [step.call for step in walk(plan.program.steps) if isinstance(step, Run)]
    calls = []
    for call, time in zip(runs, spent, strict=True):
        if isinstance(call, Call):
            label, key, sources = call.label, call.key, call.sources
        else:
            label, key, sources = call.name, routine(call).key, (call.source,) if call.source else ()
        calls.append(CallTime(label, key, sources, time * 1e-9))
    return Profile(tuple(calls))
