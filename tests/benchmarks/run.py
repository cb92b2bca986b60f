"""fnn beside JAX and PyTorch, program by program, in one run.

    python tests/benchmarks/run.py [program ...]          # the table, with every peer that is installed
    python tests/benchmarks/run.py --quick                # the short programs, fnn alone, in some minutes
    python tests/benchmarks/run.py --rounds 3 --markdown table.md --picture bars.svg

Each program runs in a process of its own for each library, in turn, in as many rounds as asked for; of several
rounds the least of each figure counts. A ratio is fnn's figure over the peer's: below one, fnn is better. "best" is
the fastest of all peers for a later call. "first" runs from the start of the process to the first result with
nothing in any cache, "warm" the same with the caches filled, "memory" is the peak of the process: these three are
beside JAX. Machines are noisy: read the ratios of one run, not its times.
"""

import argparse
import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import workloads  # noqa: E402 -- the path above is what makes it importable

PEERS = {"jax": "jax", "torch": "torch", "torch.compile": "torch"}  # backend -> the package it needs
TOLERANCE = 2e-4  # of checksums, relative to the sum of magnitudes: libraries sum in different orders
TIMEOUT = 300
COLUMNS = ("best", "jax", "torch", "torch.compile", "first", "warm", "memory")
Figures = dict[str, Any]


def in_own_process(backend: str, name: str, seconds: float, cache: str) -> Figures:
    """`measure` in a fresh process, so that no library's threads or caches meet another's. cache: a folder for
    compiled programs, or "" for none."""
    environment = {**os.environ, "FNN_CACHE_DIR": cache, "JAX_PLATFORMS": "cpu"}
    if cache:
        environment |= {
            "JAX_COMPILATION_CACHE_DIR": cache,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
            "TORCHINDUCTOR_CACHE_DIR": cache,
        }
    command = [sys.executable, str(HERE / "measure.py"), backend, name, str(seconds), str(time.time())]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired:
        return {"error": f"took more than {TIMEOUT} s"}
    except subprocess.CalledProcessError as error:
        return {"error": (error.stderr.strip().splitlines() or ["no message"])[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def one_round(backend: str, name: str, seconds: float, warm: bool) -> Figures:
    """All figures of a program on a backend: cold, and once more with its cache filled."""
    with tempfile.TemporaryDirectory() as cache:
        figures = in_own_process(backend, name, seconds, cache if backend == "torch.compile" else "")
        if warm and "error" not in figures and backend in ("fnn", "jax"):
            in_own_process(backend, name, 0, cache)
            figures["warm_s"] = in_own_process(backend, name, 0, cache).get("whole_s", math.nan)
    return figures


def least(rounds: Iterable[Figures]) -> Figures:
    """The least of each figure over the rounds; the error of one if there was any."""
    rounds = list(rounds)
    failed = [figures for figures in rounds if "error" in figures]
    if failed:
        return failed[0]
    best = {key: min(figures[key] for figures in rounds) for key in rounds[0] if key != "checksum"}
    return best | {"checksum": rounds[0].get("checksum")}


def measure(name: str, backends: list[str], rounds: int, seconds: float, warm: bool) -> dict[str, Figures]:
    """The figures of a program on each backend, the backends taking turns."""
    results: dict[str, list[Figures]] = {backend: [] for backend in backends}
    for _ in range(rounds):
        for backend in backends:
            if not (results[backend] and "error" in results[backend][0]):
                results[backend].append(one_round(backend, name, seconds, warm))
    return {backend: least(each) for backend, each in results.items()}


def ratios(figures: dict[str, Figures]) -> dict[str, float]:
    """fnn's figures over its peers'."""
    ours = figures["fnn"]
    calls = {peer: f["call_s"] for peer, f in figures.items() if peer != "fnn" and "call_s" in f}
    out = {peer: ours["call_s"] / each for peer, each in calls.items()}
    if calls:
        out["best"] = ours["call_s"] / min(calls.values())
    jax = figures.get("jax", {})
    for column, key in (("first", "whole_s"), ("warm", "warm_s"), ("memory", "peak_mb")):
        if key in ours and key in jax:
            out[column] = ours[key] / jax[key]
    return out


def disagreeing(name: str, figures: dict[str, Figures]) -> list[str]:
    """The peers whose result is another than fnn's."""
    ours = figures["fnn"]["checksum"]
    if workloads.PROGRAMS[name].random:
        return []
    theirs = {peer: f["checksum"] for peer, f in figures.items() if f.get("checksum")}
    scale = TOLERANCE * max(abs(ours[1]), 1e-9)
    return [
        p for p, sums in theirs.items() if any(abs(a - b) > scale for a, b in zip(ours, sums, strict=True))
    ]


def mean(numbers: Iterable[float]) -> float:
    """The geometric mean."""
    numbers = list(numbers)
    return math.exp(sum(map(math.log, numbers)) / len(numbers)) if numbers else math.nan


def cell(number: float | None) -> str:
    return "" if number is None or math.isnan(number) else f"{number:.2f}"


def compare(names: list[str], options: argparse.Namespace) -> bool:
    """Print the table, a row as soon as it is known; whether all results agree."""
    peers = [] if options.quick else [p for p, package in PEERS.items() if importlib.util.find_spec(package)]
    columns = [
        c
        for c in COLUMNS
        if peers and (c in peers or c not in PEERS) and ("jax" in peers or c == "best" or c in PEERS)
    ]
    lines = ["| program | fnn | " + " | ".join([*columns, ""]), "|---|--:|" + "--:|" * len(columns)]
    lines[0] = lines[0].rstrip()
    print(*lines, sep="\n", flush=True)
    table: dict[str, dict[str, float]] = {}
    agree = True
    for name in names:
        figures = measure(name, ["fnn", *peers], options.rounds, options.seconds, not options.quick)
        if "error" in figures["fnn"]:
            print(f"{name}: fnn: {figures['fnn']['error']}", file=sys.stderr)
            agree = False
            continue
        table[name] = ratios(figures)
        cells = [cell(table[name].get(column)) for column in columns]
        lines.append(f"| {name} | {1e6 * figures['fnn']['call_s']:,.1f} µs | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
        for peer in disagreeing(name, figures):
            agree = False
            print(
                f"{name}: results differ: fnn {figures['fnn']['checksum']}, {peer} {figures[peer]['checksum']}",
                file=sys.stderr,
            )
    if columns:
        means = [cell(mean(row[column] for row in table.values() if column in row)) for column in columns]
        lines.append("| **geometric mean** | | " + " | ".join(f"**{m}**" if m else "" for m in means) + " |")
        print(lines[-1])
    if options.markdown:
        Path(options.markdown).write_text("\n".join(lines) + "\n")
    if options.picture:
        from picture import draw

        draw(table, options.picture)
    return agree


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    known = workloads.load()
    parser.add_argument("programs", nargs="*", metavar="program", help=f"of {', '.join(known)}; default: all")
    parser.add_argument("--quick", action="store_true", help="the short programs, without peers")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.7, help="of later calls, each round")
    parser.add_argument("--markdown", metavar="FILE", help="write the table there, too")
    parser.add_argument("--picture", metavar="FILE", help="draw the ratios as bars (.svg, .png)")
    options = parser.parse_args()
    unknown = set(options.programs) - set(known)
    if unknown:
        parser.error(f"no program {min(unknown)!r}: choose of {', '.join(known)}")
    names = options.programs or [name for name, p in known.items() if p.quick or not options.quick]
    if not compare(names, options):
        sys.exit("not all results agree")


if __name__ == "__main__":
    main()
