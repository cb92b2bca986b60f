"""A graph, compiled: what runs it, and what it shows of itself.

executable = compile_graph(graph)
outputs = executable(inputs)              # NumPy arrays in, NumPy arrays out
print(executable.plan(), executable.memory(), executable.cost())
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fnn.config import cache_folder, config
from fnn.core.ir import Graph
from fnn.errors import ArgumentError
from fnn.kernels import cache, plan_cache
from fnn.kernels.cpu.buffers import Slot
from fnn.kernels.cpu.driver import Runner
from fnn.kernels.cpu.table import Table
from fnn.kernels.memory_report import MemoryReport

# Lowering, planning and printing are imported where they are needed: a process that finds all in the cache is
# not.
if TYPE_CHECKING:
    from fnn.kernels.calls import Foreign, Lowered
    from fnn.kernels.cost import Cost
    from fnn.kernels.plan import Kernel, Plan
    from fnn.kernels.profile import Profile


# What the times of an executable are spent on; who traced the graph and ran the passes fills in the first two.
STAGES: tuple[str, ...] = (
    "trace",
    "passes",
    "import",
    "plan cache",
    "lower",
    "plan",
    "codegen",
    "compile",
    "load",
)


def compile_graph(
    graph: Graph,
    donated: Iterable[int] = (),
    passes: Callable[[Graph], Graph] | None = None,
    version: str = "",
) -> Executable:
    """Make a graph runnable.

    Args:
        graph: the program.
        donated: numbers of the inputs whose memory the program may overwrite, and hand back as that of an
        output.
        passes: what is to be done to the graph before it is lowered, such as expanding what has no lowering; left out
        if the cache knows the plan of this graph.
        version: names all that the passes depend on besides the graph.

    Raises:
        UnsupportedError: the graph holds something that has no lowering.
        ArgumentError: donated names an input that does not exist.

    >>> from fnn.core.aval import Aval
    >>> from fnn.core.trace import closed_stage
    >>> from fnn.primitives.arithmetic import add, mul
    >>> graph = closed_stage(lambda x: [add(mul(x, x), 1.0)], [Aval((3,), np.dtype("float32"))])
    >>> compile_graph(graph)([np.arange(3, dtype="float32")])
    [array([1., 2., 5.], dtype=float32)]
    """
    donated = tuple(sorted(set(donated)))
    if donated and not 0 <= donated[0] <= donated[-1] < len(graph.inputs):
        raise ArgumentError(f"donated inputs {donated} of a program with {len(graph.inputs)} inputs")
    times: dict[str, float] = dict.fromkeys(STAGES, 0.0)
    printer = config.printer
    ready = graph
    key, program = _stored(graph, donated, f"{printer} {version}" if passes else printer, passes, times)
    if program is not None:
        return program
    if passes is not None:
        start = time.perf_counter()
        ready = passes(graph)
        times["passes"] += time.perf_counter() - start
        if key is None:  # it held something without a name, which the passes may have replaced
            key, program = _stored(ready, donated, printer, None, times)
            if program is not None:
                return program
    plan = _make_plan(ready, donated, times)
    before = cache.statistics()
    sources = {
        _cache_key(name, printer): _text(kernel, name, printer)
        for name, kernel in plan.kernels.items()
        if kernel.foreign is None
    }
    addresses = cache.kernels(sources, key)
    foreign = {name: kernel.foreign for name, kernel in plan.kernels.items() if kernel.foreign is not None}
    addresses.update(
        (_cache_key(k, printer), f.address()) for k, f in foreign.items() if f.address is not None
    )
    _add_times(times, before)
    record = {**plan.record(), "equations": len(ready.equations)}
    if key:
        plan_cache.save(key, plan.table, record)
    return Executable(ready, donated, printer, plan.table, record, addresses, times, foreign)


def _stored(
    graph: Graph, donated: tuple[int, ...], version: str, passes: Callable[[Graph], Graph] | None,
    times: dict[str, float],
) -> tuple[str | None, Executable | None]:  # fmt: skip
    """The key of a graph's plan, if it has one, and the program, if its plan and kernels are stored."""
    if cache_folder() is None:
        return None, None
    start = time.perf_counter()
    key = plan_cache.graph_key(graph, donated, version)
    stored = plan_cache.load(key, len(graph.inputs)) if key else None
    times["plan cache"] += time.perf_counter() - start
    if stored is None:
        return key, None
    table, record = stored
    before, printer = cache.statistics(), config.printer
    found = cache.find({_cache_key(k, printer) for k in table.kernels if k}, key)
    _add_times(times, before)
    if found is None:
        return key, None
    return key, Executable(graph, donated, printer, table, record, found, times, passes=passes)


def _text(kernel: Kernel, name: str, printer: str) -> Callable[[], str]:
    """What writes a kernel's LLVM text, when it is needed."""
    symbol = "k" + _cache_key(name, printer)

    def write() -> str:
        if kernel.text is not None:
            return kernel.text(symbol)
        from fnn.kernels.cpu import printers

        assert kernel.program is not None
        return printers.llvm_text(kernel.program(), symbol, printer)

    return write


def _cache_key(kernel: str, printer: str) -> str:
    return kernel if printer == "vector" else f"{kernel}_{printer}"


def _add_times(times: dict[str, float], before: cache.Statistics) -> None:
    now = cache.statistics()
    times["codegen"] += now.seconds_writing_text - before.seconds_writing_text
    times["import"] += now.seconds_importing - before.seconds_importing
    times["compile"] += now.seconds_compiling - before.seconds_compiling
    times["load"] += (
        now.seconds_reading + now.seconds_loading - before.seconds_reading - before.seconds_loading
    )


def _make_plan(graph: Graph, donated: tuple[int, ...], times: dict[str, float]) -> Plan:
    clock = time.perf_counter
    start = clock()
    from fnn.kernels.lower import lower
    from fnn.kernels.plan import Plan

    times["import"] += clock() - start

    def timed(inner: Graph) -> Lowered:
        start = clock()
        try:
            return lower(inner)
        finally:
            times["lower"] += clock() - start

    start = clock()
    plan = Plan(timed(graph), timed, donated)
    times["plan"] += clock() - start - times["lower"]
    return plan


class Executable:
    """A compiled graph. Any number of threads may call it at once.

    times: seconds spent on each stage of making it."""

    def __init__(
        self, graph: Graph, donated: tuple[int, ...], printer: str, table: Table, record: dict[str, Any],
        addresses: dict[str, int], times: dict[str, float], foreign: dict[str, Foreign] | None = None,
        passes: Callable[[Graph], Graph] | None = None,
    ):  # fmt: skip
        self.graph, self.donated, self.printer, self.times = graph, donated, printer, times
        self.table = table
        self._record = record
        self.equations: int = record["equations"]  # of the graph that was lowered
        self._passes = passes  # what is still to be done to the graph before its plan can be made again
        self._plan: Plan | None = None
        self._aliases: dict[int, int] = {int(k): i for k, i in record["aliases"]}
        self._overwritten: list[int] = record["overwritten"]
        self._types = [(a.shape, a.dtype) for a in graph.out_avals]
        self._slots = [Slot(*t) for k, t in enumerate(self._types) if k not in self._aliases]
        self._takes = [slot.taking() for slot in self._slots]
        self._foreign = foreign or {}  # it holds what the program calls
        python = {k: f for k, f in self._foreign.items() if f.python is not None}
        self._runner = Runner(
            table,
            {k: addresses[_cache_key(k, printer)] for k in table.kernels if k and k not in python},
            check=False,
            python=python,
        )
        self._run = self._checked if any(f.failed for f in self._foreign.values()) else self._runner.run

    def __call__(self, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Run: arrays of the graph's input types (not checked: `jit` looks them up by type), C contiguous;
        0-d arrays for scalars. Returns new arrays, except that an output may lie in the memory of a donated
        input: nobody else may be using that.

        Raises:
            ArgumentError: the number of arrays is wrong."""
        inputs = tuple(values)
        if self._overwritten:
            inputs = self._own(inputs)
        outputs = tuple([take() for take in self._takes])
        self._run(inputs, outputs)
        if not self._aliases:
            return list(outputs)
        fresh = iter(outputs)
        return [
            self._alias(k, inputs) if k in self._aliases else next(fresh) for k in range(len(self._types))
        ]

    def _checked(self, inputs: tuple[np.ndarray, ...], outputs: tuple[np.ndarray, ...]) -> None:
        """Run, and raise what machine code of the user's has found wrong."""
        self._runner.run(inputs, outputs)
        for foreign in self._foreign.values():
            error = foreign.failed() if foreign.failed is not None else None
            if error is not None:
                raise error

    def _own(self, inputs: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        """The inputs, with copies of those that are to be overwritten but cannot be."""
        owned = list(inputs)
        for k in self._overwritten:
            x = owned[k]
            flags = x.flags
            if (
                type(x) is not np.ndarray or not (flags.c_contiguous and flags.aligned and flags.writeable)
                or any(other is x for i, other in enumerate(owned) if i != k)
            ):  # fmt: skip
                owned[k] = np.array(x, order="C", copy=True, subok=False)
        return tuple(owned)

    def _alias(self, output: int, inputs: tuple[np.ndarray, ...]) -> np.ndarray:
        shape, dtype = self._types[output]
        x = inputs[self._aliases[output]]
        return x if x.shape == shape and x.dtype == dtype else x.reshape(-1).view(dtype).reshape(shape)

    # -- what it shows
    def planned(self) -> Plan:
        """The whole `Plan`; made again if only its table is at hand."""
        if self._plan is None:
            graph = self._passes(self.graph) if self._passes else self.graph
            self._plan = _make_plan(graph, self.donated, dict.fromkeys(STAGES, 0.0))
        return self._plan

    def plan(self) -> str:
        """Every call in words: its kernel, tiles, what it reads and writes, and the lines it comes from."""
        return str(self.planned())

    def kernels(self) -> dict[str, str]:
        """key -> Numba source of each kernel, as readable Python; for library routines their LLVM text."""
        from fnn.kernels.kernel_text import sources

        return sources(self.planned())

    def memory(self) -> MemoryReport:
        """Bytes by what they are for."""
        sizes = [a.nbytes for a in self.graph.out_avals]
        return MemoryReport(
            arena=self.table.arena,
            without_reuse=self._record["without_reuse"],
            constants=sum(c.nbytes for c in self.table.constants.values()),
            inputs=sum(a.nbytes for a in self.graph.in_avals),
            outputs=sum(sizes),
            donated=sum(sizes[k] for k in self._aliases),
            in_place=self._record["in_place"],
            pieces=self.planned,
        )

    def cost(self) -> Cost:
        """Arithmetic and memory traffic, estimated from sizes."""
        from fnn.kernels.cost import cost_of

        return cost_of(self.planned())

    def profile(self, values: Sequence[np.ndarray], runs: int = 10) -> Profile:
        """The time each call takes, the mean of some runs, beside the machine's peaks; arguments as of a call.
        Donated inputs are left alone. A run before them, which wakes the threads and touches new memory, does not
        count."""
        inputs = tuple([np.array(x, order="C") for x in values]) if self._overwritten else tuple(values)
        spent = np.zeros(len(self.table.rows), np.int64)
        for run in range(runs + 1):
            nanoseconds = self._runner.profile(inputs, tuple([slot.take() for slot in self._slots]))
            if run:
                spent += nanoseconds
        from fnn.kernels.cpu.peaks import measure
        from fnn.kernels.profile import profile_of

        return profile_of(self.planned(), spent / runs, measure())

    def release(self) -> None:
        """Give back memory that is kept for the next call."""
        self._runner.release()
        for slot in self._slots:
            slot.clear()

    def __repr__(self) -> str:
        rows = sum(1 for k in self.table.kernels if k)
        return f"<Executable: {len(self.graph.inputs)} inputs, {len(self._types)} outputs, {rows} calls>"
