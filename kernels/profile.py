"""Where the time of a compiled program goes, call by call, beside what the machine could do."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from fnn.core.source import Source, short
from fnn.errors import MissingDependency
from fnn.kernels.calls import Value
from fnn.kernels.control import Run, walk
from fnn.kernels.cost import CallCost, cost_of
from fnn.kernels.plan import Plan
from fnn.records import record

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fnn.kernels.cpu.peaks import Peaks

_SHOWN = 14  # kernels and calls with a line of their own in the picture


@record(frozen=True)
class CallTime:
    """What one call took in one run of the program, in all rounds of the loops around it, and what it did in
    that time: seconds, floating-point operations, bytes read and written (were there no caches). best: the
    seconds in which the machine could do it: the operations at its peak or the bytes at its copy bandwidth,
    whichever takes longer; memory: whether that is the bytes."""

    label: str
    kernel: str
    sources: tuple[Source, ...]
    seconds: float
    flops: float
    bytes: float
    best: float
    memory: bool

    @property
    def of_peak(self) -> float:
        """The share of the machine's peak that the call reached; above 1 for bytes that came from a cache."""
        return self.best / self.seconds if self.seconds else 0.0

    @property
    def limit(self) -> str:
        """What bounds the call: "memory" or "compute"."""
        return "memory" if self.memory else "compute"

    def __str__(self) -> str:
        where = f"  {short(self.sources[0])}" if self.sources else ""
        return f"{self.label}  {self.kernel}{where}"


@record(frozen=True)
class Profile:
    """The calls in the order of the plan; seconds: their sum; peaks: what the machine was measured to do."""

    calls: tuple[CallTime, ...]
    peaks: Peaks

    @property
    def seconds(self) -> float:
        return sum(c.seconds for c in self.calls)

    def __str__(self) -> str:
        total = self.seconds or 1.0
        lines = [f"{'us':>12} {'share':>7} {'GFLOP/s':>8} {'GB/s':>7} {'of peak':>8}  call"]
        for k, c in sorted(enumerate(self.calls, 1), key=lambda item: -item[1].seconds):
            lines.append(f"{c.seconds * 1e6:12.2f} {c.seconds / total:7.1%} {_rates([c])}  #{k} {c}")
        lines.append(f"{self.seconds * 1e6:12.2f} {'':7} {_rates(self.calls)}  in all")
        return "\n".join([*lines, f"of peak: {self.peaks}"])

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw the run as a timeline, a row for each kernel, and the share of the machine's peak that the
        longest calls reach. The file's name says the format (.png, .svg, .pdf).

        Raises:
            MissingDependency: matplotlib is not installed."""
        try:
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
        except ImportError as error:
            raise MissingDependency.of("matplotlib", "a picture of a profile") from error
        figure = Figure(figsize=(11, 8), layout="constrained")
        FigureCanvasAgg(figure)
        timeline, peaks = figure.subplots(2, 1)
        self._timeline(timeline)
        self._reached(peaks)
        figure.savefig(path)

    def _timeline(self, axes: Axes) -> None:
        spent: dict[str, float] = {}
        names: dict[str, str] = {}
        for c in self.calls:
            spent[c.kernel] = spent.get(c.kernel, 0.0) + c.seconds
            names.setdefault(c.kernel, c.label)
        shown = sorted(spent, key=lambda kernel: -spent[kernel])[:_SHOWN]
        rows = {kernel: row for row, kernel in enumerate(shown)}
        start = 0.0
        for c in self.calls:
            row = rows.get(c.kernel, len(shown))
            axes.barh(row, c.seconds * 1e6, left=start * 1e6, color=f"C{row % 10}", height=0.8)
            start += c.seconds
        labels = [f"{_cut(names[kernel])} {spent[kernel] / (start or 1):.0%}" for kernel in shown]
        labels += ["other kernels"] if len(spent) > len(shown) else []
        axes.set_yticks(range(len(labels)), labels, fontsize=7)
        axes.invert_yaxis()
        axes.set_xlabel("µs since the start")
        axes.set_title(f"{len(self.calls)} calls, {start * 1e6:.1f} µs")

    def _reached(self, axes: Axes) -> None:
        longest = sorted(enumerate(self.calls, 1), key=lambda item: -item[1].seconds)[:_SHOWN]
        colours = ["C0" if c.memory else "C3" for _, c in longest]
        axes.barh(range(len(longest)), [min(c.of_peak, 1.0) for _, c in longest], color=colours)
        labels = [f"#{k} {_cut(c.label)} {c.seconds * 1e6:.1f} µs" for k, c in longest]
        axes.set_yticks(range(len(longest)), labels, fontsize=7)
        for row, (_, c) in enumerate(longest):
            axes.annotate(
                f" {c.of_peak:.0%} of {c.limit}", (min(c.of_peak, 1.0), row), va="center", fontsize=7
            )
        axes.set_xlim(0, 1.15)
        axes.invert_yaxis()
        axes.set_xlabel(
            "share of the peak: red arithmetic, blue memory (more than all of it: out of a cache)"
        )
        axes.set_title(str(self.peaks))


def profile_of(plan: Plan, nanoseconds: np.ndarray, peaks: Peaks) -> Profile:
    """The profile of a plan from the time each of its table's rows took (int64 [rows])."""
    spent = nanoseconds[[bool(key) for key in plan.table.kernels]].tolist()
    runs = [step for step in walk(plan.program.steps) if isinstance(step, Run)]
    costs = cost_of(plan).calls
    calls = [_call(run, cost, time, peaks) for run, cost, time in zip(runs, costs, spent, strict=True)]
    return Profile(tuple(calls), peaks)


def _call(step: Run, cost: CallCost, nanoseconds: float, peaks: Peaks) -> CallTime:
    flops, nbytes = cost.flops * cost.times, float(cost.bytes * cost.times)
    arithmetic = flops / (peaks.flops_f64 if _double([*step.reads, *step.writes]) else peaks.flops_f32)
    traffic = nbytes / peaks.copy_bandwidth
    best, memory = max(arithmetic, traffic), traffic > arithmetic
    return CallTime(cost.label, cost.kernel, cost.sources, nanoseconds * 1e-9, flops, nbytes, best, memory)


def _double(values: Iterable[Value]) -> bool:
    return any(v.dtype.kind == "f" and v.dtype.itemsize == 8 for v in values)


def _rates(calls: Iterable[CallTime]) -> str:
    calls = list(calls)
    seconds = sum(c.seconds for c in calls) or float("inf")
    flops, nbytes, best = (
        sum(getattr(c, name) for c in calls) / seconds for name in ("flops", "bytes", "best")
    )
    return f"{flops / 1e9:8.1f} {nbytes / 1e9:7.1f} {best:8.1%}"


def _cut(label: str, most: int = 40) -> str:
    return label if len(label) <= most else label[: most - 3] + "..."
