"""What fnn reaches of this machine's limits, as a Markdown table.

    python tests/benchmarks/limits.py                     # everything, about a minute
    python tests/benchmarks/limits.py products --sizes 128,1024 --layouts NN,TN
    FNN_NUM_THREADS=1 python tests/benchmarks/limits.py   # of one thread

products      matrix products, float32 and float64, of arrays as they are (N) and of transposed ones (T)
half          bfloat16 and float16 products, summed in float32: against the float32 peak
convolutions  3x3, 64 -> 64 channels, and its two gradients
memory        elementwise functions of arrays beyond the caches, against the bandwidth of a plain copy

The peaks are measured first, in the same run, by kernels of multiply-adds and copies that fnn's own printer
wrote (`fnn.kernels.cpu.peaks`). `kernels` is the time in kernels, `call` that of the whole call from Python;
shares are of the peak, the least of several runs each. On a machine that does other work, read them as lower
bounds.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import fnn
import fnn.numpy as fnp
from fnn import lax, nn
from fnn.kernels.cpu import peaks

Row = tuple[str, float, float, float, str]  # name, work, and seconds in kernels and of a call; its unit
PARTS = ("products", "half", "convolutions", "memory")
LARGE = 1 << 25  # elements: 128 MiB of float32


def seconds(f: Callable, *arguments: Any, budget: float) -> tuple[float, float]:
    """The least time in kernels and of a whole call."""
    compiled = fnn.jit(f).lower(*arguments).compile()
    clock, calls = time.perf_counter, []
    fnn.block_until_ready(compiled(*arguments))
    end = clock() + budget
    while len(calls) < 5 or clock() < end:
        start = clock()
        fnn.block_until_ready(compiled(*arguments))
        calls.append(clock() - start)
    rounds = 1 if min(calls) > 0.01 else 5
    return min(compiled.profile(*arguments).seconds for _ in range(rounds)), min(calls)


def numbers(*shape: int, dtype: str = "float32") -> Any:
    return fnp.asarray(np.random.default_rng(0).standard_normal(shape, np.float32)).astype(dtype)


def product(n: int, layout: str, dtype: str, budget: float) -> Row:
    def f(x: Any, y: Any) -> Any:
        return (x.T if layout[0] == "T" else x) @ (y.T if layout[1] == "T" else y)

    x, y = numbers(n, n, dtype=dtype), numbers(n, n, dtype=dtype)
    return f"{dtype} {layout} {n}", 2.0 * n**3, *seconds(f, x, y, budget=budget), "flops"


def convolutions(budget: float) -> Iterator[Row]:
    x, w = numbers(32, 32, 32, 64), numbers(3, 3, 64, 64)
    flops = 2.0 * x.size * 9 * 64

    def f(x: Any, w: Any) -> Any:
        return lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    yield "forward", flops, *seconds(f, x, w, budget=budget), "flops"
    for k, name in enumerate(("gradient of the input", "gradient of the weights")):

        def pulled(x: Any, w: Any, g: Any, k: int = k) -> Any:
            return fnn.vjp(f, x, w)[1](g)[k]

        yield name, flops, *seconds(pulled, x, w, numbers(32, 32, 32, 64), budget=budget), "flops"


def memory(budget: float) -> Iterator[Row]:
    x, y = numbers(LARGE), numbers(LARGE)
    for name, f, given in (
        ("2 x + 1", lambda x: x * 2.0 + 1.0, (x,)),
        ("tanh(x)", fnp.tanh, (x,)),
        ("exp(x)", fnp.exp, (x,)),
        ("log(|x|)", lambda x: fnp.log(fnp.abs(x)), (x,)),
        ("sin(x)", fnp.sin, (x,)),
        ("erf(x)", lax.erf, (x,)),
        ("sigmoid(x)", nn.sigmoid, (x,)),
        ("gelu(x)", nn.gelu, (x,)),
        ("x + y", lambda x, y: x + y, (x, y)),
    ):
        yield name, 4.0 * LARGE * (1 + len(given)), *seconds(f, *given, budget=budget), "bytes"


def rows(options: argparse.Namespace) -> Iterator[Row]:
    if "products" in options.parts:
        for dtype in ("float32", "float64"):
            for n in options.sizes:
                for layout in options.layouts:
                    yield product(n, layout, dtype, options.seconds)
    if "half" in options.parts:
        for dtype in ("bfloat16", "float16"):
            for n in (256, 1024):
                yield product(n, "NN", dtype, options.seconds)
    if "convolutions" in options.parts:
        yield from convolutions(options.seconds)
    if "memory" in options.parts:
        yield from memory(options.seconds)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    listed = {"type": lambda text: text.split(",")}
    parser.add_argument("--sizes", default=["128", "256", "512", "1000", "1024", "2048"], **listed)
    parser.add_argument("--layouts", default=["NN", "NT", "TN", "TT"], **listed)
    parser.add_argument("--seconds", type=float, default=0.3, help="for each row")
    options = parser.parse_args()
    options.sizes = [int(n) for n in options.sizes]
    options.parts = options.parts or list(PARTS)
    if set(options.parts) - set(PARTS):
        parser.error(f"the parts are {', '.join(PARTS)}")
    peak = peaks.measure()
    print(f"Peaks, {peak}.\n")
    print("| | kernels | call | share (kernels) | share (call) |\n|---|--:|--:|--:|--:|")
    for name, work, kernels, call, unit in rows(options):
        limit = (
            peak.copy_bandwidth
            if unit == "bytes"
            else peak.flops_f64
            if name.startswith("float64")
            else peak.flops_f32
        )
        print(
            f"| {name} | {kernels * 1e6:,.1f} µs | {call * 1e6:,.1f} µs | {work / kernels / limit:.0%} "
            f"| {work / call / limit:.0%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
