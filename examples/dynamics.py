"""Foxes and hares: the parameters of a differential equation, found by descending through its solver.

Shows: `fnn.lax.scan` as a compiled loop (a Runge-Kutta solver), and the derivative of its whole result in the equation's
parameters, by `fnn.value_and_grad`. Noisy counts of two species are generated with known parameters of the Lotka-Volterra
equations; starting from wrong ones, Adam finds them again. Draws examples/out/dynamics.png if matplotlib is installed.

    python examples/dynamics.py [--quick]
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import fnn
import fnn.numpy as fnp
from fnn import optim

OUT = Path(__file__).parent / "out"
NAMES = ("hares born", "hares eaten", "foxes dying", "foxes fed")  # rates: per year, or per year and animal
TRUE = np.array([1.1, 0.4, 0.8, 0.3], np.float32)
START = np.array([3.0, 1.0], np.float32)  # hares, foxes, in thousands
DT, STEPS, EVERY = 0.02, 1000, 25  # years a step; steps; steps between two counts


def field(rates: Any, state: Any) -> Any:
    """Lotka-Volterra: the change of (hares, foxes) in a year."""
    hares, foxes = state[0], state[1]
    return fnp.stack([hares * (rates[0] - rates[1] * foxes), foxes * (rates[3] * hares - rates[2])])


def solve(rates: Any, start: Any) -> Any:
    """The path by the classical Runge-Kutta method: [STEPS, 2]."""

    def step(state: Any, _: None) -> tuple[Any, Any]:
        k1 = field(rates, state)
        k2 = field(rates, state + DT / 2 * k1)
        k3 = field(rates, state + DT / 2 * k2)
        k4 = field(rates, state + DT * k3)
        state = state + DT / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return state, state

    return fnn.lax.scan(step, start, None, length=STEPS)[1]


def loss(logs: Any, counts: Any) -> Any:
    """Mean squared difference of the logarithms of computed and counted animals; the rates are positive: exp(logs)."""
    path = solve(fnp.exp(logs), START)
    return fnp.mean((fnp.log(path[EVERY - 1 :: EVERY]) - fnp.log(counts)) ** 2)


def draw(counts: np.ndarray, before: np.ndarray, after: np.ndarray, values: list[float], path: Path) -> None:
    """Counts and fitted path by time and as an orbit; the loss by iteration."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 3, figsize=(13, 4), width_ratios=(2, 1.2, 1.2), layout="constrained")
    left, middle, right = panels
    years, when = DT * np.arange(1, STEPS + 1), DT * EVERY * np.arange(1, len(counts) + 1)
    for i, (name, color) in enumerate((("hares", "#b5541c"), ("foxes", "#1f4e79"))):
        left.plot(years, before[:, i], color=color, lw=0.8, ls=":")
        left.plot(years, after[:, i], color=color, label=name)
        left.plot(when, counts[:, i], "o", color=color, ms=3, alpha=0.6)
    left.set(xlabel="years", ylabel="thousands", title="counts (dots), first guess (dotted), fit")
    left.legend(frameon=False, loc="upper right")
    middle.plot(*before.T, color="0.6", lw=0.8, ls=":")
    middle.plot(*after.T, color="#333333")
    middle.plot(*counts.T, "o", color="#7a7a7a", ms=3, alpha=0.6)
    middle.set(xlabel="hares", ylabel="foxes", title="the orbit")
    right.semilogy(values, color="#333333")
    right.set(xlabel="iteration", title="loss")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=130)
    print(f"picture: {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer iterations, to see that it runs")
    iterations = 60 if parser.parse_args().quick else 400
    noise = 0.08 * fnn.random.normal(fnn.random.key(3), (STEPS // EVERY, 2))
    counts = fnn.jit(solve)(TRUE, START)[EVERY - 1 :: EVERY] * fnp.exp(noise)
    optimizer = optim.adam(optim.cosine_decay_schedule(0.03, iterations))

    @partial(fnn.jit, donate_argnums=(0, 1))
    def step(logs: Any, state: Any) -> tuple:
        value, gradient = fnn.value_and_grad(loss)(logs, counts)
        updates, state = optimizer.update(gradient, state)
        return optim.apply_updates(logs, updates), state, value

    first = np.array([0.8, 0.3, 1.0, 0.4], np.float32)
    logs = fnp.log(fnp.asarray(first))
    state, values, started = optimizer.init(logs), [], time.perf_counter()
    for _ in range(iterations):
        logs, state, value = step(logs, state)
        values.append(float(value))
    found = np.exp(np.asarray(logs))
    print(f"{iterations} gradients through {STEPS} Runge-Kutta steps: {time.perf_counter() - started:.2f} s")
    print(f"loss {values[0]:.4f} -> {values[-1]:.4f}")
    for name, true, guess, fitted in zip(NAMES, TRUE, first, found, strict=True):
        print(f"{name:12s} true {true:.2f}   first guess {guess:.2f}   found {fitted:.3f}")
    try:
        before, after = (np.asarray(solve(rates, START)) for rates in (first, found))
        draw(np.asarray(counts), before, after, values, OUT / "dynamics.png")
    except ImportError:
        print("no picture: matplotlib is not installed")


if __name__ == "__main__":
    main()
