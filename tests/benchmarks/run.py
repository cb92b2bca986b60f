"""fnn beside its peer: time to the first result, time a call, and their ratios.

``python tests/benchmarks/run.py [program ...]`` runs each program in a process of its own for each library,
in turn, fnn's kernel cache switched off, and prints one table. A ratio above one means that fnn is faster.
Machines are noisy: read the ratios of one run, not its times. Without a peer installed (the extra ``bench``),
only fnn's times are printed.
"""

import argparse
import importlib
import importlib.util
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

from programs import PROGRAMS, Library  # noqa: E402 -- the path above is what makes it importable

MODULES = {
    "fnn": ("fnn", "fnn.numpy", "fnn.lax", "fnn.tree"),
    "jax": ("jax", "jax.numpy", "jax.lax", "jax.tree"),
}
TOLERANCE = 1e-3  # of checksums, relative: libraries sum in different orders


def checksum(library: Library, result: Any) -> float:
    """The sum of the absolute values of every leaf, in float64."""
    return float(sum(np.abs(np.asarray(leaf, np.float64)).sum() for leaf in library.tree.leaves(result)))


def seconds_a_call(call: Callable[[], object], budget: float = 1.0) -> float:
    """The median over repetitions of the time of one call, batched so that the clock's grain does not
    show."""
    start = time.perf_counter()
    call()
    once = time.perf_counter() - start
    batch = max(1, int(0.01 / max(once, 1e-7)))
    times = []
    end = time.perf_counter() + budget
    while len(times) < 5 or (time.perf_counter() < end and len(times) < 200):
        start = time.perf_counter()
        for _ in range(batch):
            call()
        times.append((time.perf_counter() - start) / batch)
    return float(np.median(times))


def measure(name: str, program: str) -> dict[str, float]:
    """Run ``program`` on the library ``name`` in this process."""
    library = Library(*map(importlib.import_module, MODULES[name]))
    function, arguments = PROGRAMS[program](library)
    start = time.perf_counter()
    result = library.top.block_until_ready(function(*arguments))
    first = time.perf_counter() - start
    arguments = library.tree.map(library.numpy.asarray, arguments)
    call = seconds_a_call(lambda: library.top.block_until_ready(function(*arguments)))
    return {"first": first, "call": call, "checksum": checksum(library, result)}


def in_own_process(name: str, program: str) -> dict[str, float]:
    """:func:`measure` in a fresh process, so that no library's threads or caches meet another's."""
    command = [sys.executable, __file__, "--measure", name, program]
    environment = {**os.environ, "FNN_CACHE_DIR": "", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(programs: list[str]) -> bool:
    """Print the table; whether the checksums of all libraries agree."""
    peers = [name for name in MODULES if name != "fnn" and importlib.util.find_spec(name)]
    columns = ["first ms", "call µs", *(f"{each} {peer}/fnn" for peer in peers for each in ("first", "call"))]
    print(f"{'program':<18}" + "".join(f"{column:>16}" for column in columns), flush=True)
    ratios: dict[str, list[float]] = {column: [] for column in columns[2:]}
    agree = True
    for program in programs:
        ours = in_own_process("fnn", program)
        row = f"{program:<18}{1e3 * ours['first']:>16.1f}{1e6 * ours['call']:>16.1f}"
        for peer in peers:
            theirs = in_own_process(peer, program)
            for each in ("first", "call"):
                ratio = theirs[each] / ours[each]
                ratios[f"{each} {peer}/fnn"].append(ratio)
                row += f"{ratio:>16.2f}"
            if not math.isclose(ours["checksum"], theirs["checksum"], rel_tol=TOLERANCE):
                agree = False
                row += f"  checksums differ: {ours['checksum']:.6g}, {peer} {theirs['checksum']:.6g}"
        print(row, flush=True)
    if peers:
        means = [math.exp(float(np.mean(np.log(column)))) for column in ratios.values()]
        print(f"{'geometric mean':<18}{'':>32}" + "".join(f"{mean:>16.2f}" for mean in means))
    else:
        print("no peer is installed: pip install '.[bench]' to compare")
    return agree


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "programs", nargs="*", metavar="program", help=f"of {', '.join(PROGRAMS)}; default: all"
    )
    parser.add_argument("--measure", choices=MODULES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = set(options.programs) - set(PROGRAMS)
    if unknown:
        parser.error(f"no program {min(unknown)!r}: choose of {', '.join(PROGRAMS)}")
    if options.measure:
        print(json.dumps(measure(options.measure, *options.programs)))
    elif not compare(options.programs or list(PROGRAMS)):
        sys.exit("checksums differ")


if __name__ == "__main__":
    main()
