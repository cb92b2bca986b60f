"""From the start of a process to its first result, fnn beside JAX, in turns.

``python tests/benchmarks/startup.py [program ...]`` prints a Markdown table: seconds with empty caches (cold) and
with the caches of an earlier process (warm), imports included and the making of inputs left out, the ratios
fnn/JAX, and how fnn's first call was spent. Of several rounds the least counts; trust ratios, not times.
With --no-bytecode fnn has none: its sources are compiled by every process, as where PYTHONDONTWRITEBYTECODE is set
(JAX, which was installed, keeps its own).
"""

import argparse
import importlib.util
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [os.environ.get("FNN_SOURCES") or str(HERE.parent.parent), str(HERE)]
DEFAULT = ("dispatch_scalar", "chain_fwd_1e3", "matmul_1024", "mlp_train", "transformer_train")
CACHES = {"fnn": "FNN_CACHE_DIR", "jax": "JAX_COMPILATION_CACHE_DIR"}


def clock() -> float:
    """Seconds on a clock that all processes share."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def child(package: str, name: str, began: float) -> dict[str, Any]:
    """Run a program once in this process, which was started at `began`."""
    import numpy as np
    import workloads

    start = clock()
    chosen = workloads.load()[name]
    inputs = chosen.inputs(np.random.default_rng(0))
    aside = clock() - start
    library = workloads.library(package)
    function = chosen.build(library)
    arguments = library.block_until_ready(library.tree.map(library.jnp.asarray, inputs))
    ready = clock()
    library.block_until_ready(function(*arguments))
    end = clock()
    entries = getattr(function, "_cache", {}).values() if package == "fnn" else ()
    stages = [e.program.times for e in entries if e.program is not None]
    return {"total": end - began - aside, "first": end - ready, "stages": stages[0] if stages else {}}


def spawn(package: str, name: str, cache: str, sources: str = "") -> dict[str, Any]:
    """:func:`child` in a fresh process; sources: a folder with an fnn that has no bytecode."""
    settings = {
        CACHES[package]: cache,
        "JAX_PLATFORMS": "cpu",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    environment = {**os.environ, **settings, "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"}
    environment.pop(
        "PYTHONDONTWRITEBYTECODE", None
    )  # both are measured with the bytecode an installation has
    if package == "jax" and not cache:
        del environment[CACHES[package]]
    if sources:
        environment |= {"PYTHONDONTWRITEBYTECODE": "1", "FNN_SOURCES": sources}
    command = [sys.executable, __file__, "--child", package, "--began", str(clock()), name]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def without_bytecode(folder: str) -> str:
    """A folder with a copy of fnn's sources alone."""
    target = os.path.join(folder, "sources")
    for name in ("fnn", "transforms", "primitives", "kernels"):
        shutil.copytree(
            HERE.parent.parent / name,
            os.path.join(target, name),
            symlinks=True,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("programs", nargs="*", default=DEFAULT)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-bytecode", action="store_true", help="of fnn")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--began", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(options.child, options.programs[0], options.began)))
        return
    packages = [package for package in CACHES if importlib.util.find_spec(package)]
    print(
        "| program | cache | "
        + " | ".join(f"{p} s" for p in packages)
        + " | fnn/jax | fnn's first call, ms |"
    )
    print("|---|---|" + "--:|" * (len(packages) + 1) + "---|")
    ratios: dict[str, list[float]] = {"cold": [], "warm": []}
    for name in options.programs:
        with tempfile.TemporaryDirectory() as cache:
            sources = without_bytecode(cache) if options.no_bytecode else ""
            folders = {package: os.path.join(cache, package) for package in packages}
            for package in packages:  # fills the caches, and Python's own of compiled sources
                spawn(package, name, folders[package], sources)
            for state, logs in ratios.items():
                runs: dict[str, list[dict[str, Any]]] = {package: [] for package in packages}
                for _ in range(options.rounds):
                    for package in packages:
                        runs[package].append(
                            spawn(package, name, folders[package] if state == "warm" else "", sources)
                        )
                best = {package: min(found, key=lambda run: run["total"]) for package, found in runs.items()}
                ratio = best["fnn"]["total"] / best[packages[-1]]["total"]
                logs.append(math.log(ratio))
                stages = [f"{k} {1e3 * t:.1f}" for k, t in best["fnn"]["stages"].items() if t > 5e-5]
                times = " | ".join(f"{best[package]['total']:.3f}" for package in packages)
                spent = f"{1e3 * best['fnn']['first']:.1f}: {', '.join(stages)}"
                print(f"| {name} | {state} | {times} | {ratio:.2f} | {spent} |", flush=True)
    for state, logs in ratios.items():
        print(f"\nGeometric mean, {state}: {math.exp(sum(logs) / len(logs)):.2f}")


if __name__ == "__main__":
    main()
