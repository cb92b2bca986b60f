"""Time one program on one backend, in this process, and print one line of JSON.

first_s    the first call: trace, compile, run
whole_s    from the start of the process, imports and inputs included, to the first result
call_s     a later call, the median over repetitions, blocked until ready
peak_mb    the most memory the process had
faults     page faults of one later call
checksum   the sum, and the sum of magnitudes, of the result (of a program that carries: of its fifth loss)
"""

import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
LONGEST = 5000  # samples


def prepare(backend: str, name: str) -> tuple[Callable, tuple, Callable, Callable]:
    """(function, arguments on the device, what blocks until ready, what lists the leaves)."""
    import workloads

    program = workloads.load()[name]
    arguments = program.inputs(np.random.default_rng(0))
    if backend.startswith("torch"):
        import workloads_torch

        return workloads_torch.prepare(name, arguments, backend == "torch.compile")
    library = workloads.library(backend)
    arguments = library.tree.map(library.jnp.asarray, arguments)
    library.block_until_ready(arguments)
    return program.build(library), arguments, library.block_until_ready, library.tree.leaves


def measure(backend: str, name: str, seconds: float, began: float) -> dict[str, Any]:
    """The figures above; only the first two if seconds is 0."""
    function, arguments, block, leaves = prepare(backend, name)
    import workloads

    carries, clock = workloads.PROGRAMS[name].carries, time.perf_counter

    def call() -> Any:
        nonlocal arguments
        out = block(function(*arguments))
        if carries:
            arguments, out = (out[0], *arguments[1:]), out[1]
        return out

    start = clock()
    out = call()
    result: dict[str, Any] = {"first_s": clock() - start, "whole_s": time.time() - began}
    if not seconds:
        return result
    for _ in range(4 if carries else 0):
        out = call()
    flat = [np.asarray(leaf, np.float64) for leaf in leaves(out)]
    result["checksum"] = [float(sum(f(leaf).sum() for leaf in flat)) for f in (np.array, np.abs)]
    del out, flat
    start = clock()
    call()
    repeat = max(1, int(2e-4 / (clock() - start)))  # a sample lasts 0.2 ms or one call
    samples: list[float] = []
    stop, before = clock() + seconds, resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    while len(samples) < 3 or (clock() < stop and len(samples) < LONGEST):
        start = clock()
        for _ in range(repeat):
            call()
        samples.append((clock() - start) / repeat)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return result | {
        "call_s": statistics.median(samples),
        "peak_mb": usage.ru_maxrss / 1024,
        "faults": (usage.ru_minflt - before) / (repeat * len(samples)),
    }


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    backend, name, seconds, began = sys.argv[1:]
    print(json.dumps(measure(backend, name, float(seconds), float(began))))
