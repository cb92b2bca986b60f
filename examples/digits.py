"""Handwritten digits: a small network learns to read 8x8 scans, in one compiled training step.

Shows: a model as a value (a pytree), `fnn.jit` around `fnn.value_and_grad` and Adam with donated state, and what that
looks like to write. Trains on 1,437 of scikit-learn's 1,797 scans, reports the accuracy on the other 360, and draws
examples/out/digits.png. Needs `pip install fnn[examples]`.

    python examples/digits.py [--epochs N] [--quick]
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from tqdm import tqdm

import fnn
import fnn.numpy as fnp
from fnn import nn, optim

OUT = Path(__file__).parent / "out"
BATCH = 64


def load(seed: int = 0) -> tuple[np.ndarray, ...]:
    """(training scans, their digits, test scans, their digits); scans are [n, 64] between 0 and 1."""
    scans, digits = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(scans))
    x, y = (scans[order] / 16).astype(np.float32), digits[order].astype(np.int32)
    return x[360:], y[360:], x[:360], y[:360]


def loss(model: nn.MLP, x: Any, y: Any) -> Any:
    """Mean cross-entropy."""
    scores = nn.log_softmax(model(x))
    return -fnp.mean(fnp.sum(scores * nn.one_hot(y, 10), -1))


def trainer(optimizer: optim.GradientTransformation) -> Any:
    """One step of training: (model, optimiser state, batch) -> (model, state, loss). The old ones' memory is reused."""

    @partial(fnn.jit, donate_argnums=(0, 1))
    def step(model: nn.MLP, state: Any, x: Any, y: Any) -> tuple:
        value, gradient = fnn.value_and_grad(loss)(model, x, y)
        updates, state = optimizer.update(gradient, state, model)
        return optim.apply_updates(model, updates), state, value

    return step


def draw(history: np.ndarray, scans: np.ndarray, digits: np.ndarray, guesses: np.ndarray, path: Path) -> None:
    """Loss and accuracy by epoch; sixteen test scans, the wrongly read ones first and in red."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(11, 5.2), layout="constrained")
    curves, gallery = figure.subfigures(1, 2, width_ratios=(1, 1.15), squeeze=False)[0]
    top, bottom = curves.subplots(2, 1, sharex=True)
    epochs = np.arange(1, len(history) + 1)
    top.semilogy(epochs, history[:, 0], color="#1f4e79")
    top.set(ylabel="training loss")
    bottom.plot(epochs, 100 * history[:, 1], color="#b5541c")
    bottom.axhline(100 * history[-1, 1], color="0.8", lw=0.8, zorder=0)
    bottom.set(xlabel="epoch", ylabel="test accuracy, %", ylim=(None, 100.5))
    curves.suptitle(f"test accuracy {100 * history[-1, 1]:.1f} %")
    wrong, right = np.flatnonzero(guesses != digits), np.flatnonzero(guesses == digits)
    one_of_each = [right[digits[right] == d][0] for d in np.unique(digits[right])]
    chosen = np.concatenate([wrong[:6], one_of_each, np.setdiff1d(right, one_of_each)]).astype(int)[:16]
    for axes, i in zip(gallery.subplots(4, 4).flat, chosen, strict=True):
        axes.imshow(scans[i].reshape(8, 8), cmap="gray_r", interpolation="nearest")
        error = guesses[i] != digits[i]
        title = f"{guesses[i]}  (is {digits[i]})" if error else f"{guesses[i]}"
        axes.set_title(title, fontsize=10, color="#c00000" if error else "#333333")
        axes.set(xticks=[], yticks=[])
    gallery.suptitle(f"what the network reads; {len(wrong)} of {len(digits)} wrong")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=130)
    print(f"picture: {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--quick", action="store_true", help="a few epochs, to see that it runs")
    options = parser.parse_args()
    epochs = min(options.epochs, 8) if options.quick else max(options.epochs, 1)
    x, y, test_x, test_y = load()
    rng = np.random.default_rng(1)
    steps = epochs * (len(x) // BATCH)
    model = nn.MLP(64, 10, width=128, depth=2, key=fnn.random.key(0))
    optimizer = optim.adam(optim.cosine_decay_schedule(3e-3, steps))
    state, step = optimizer.init(model), trainer(optimizer)
    read = fnn.jit(lambda model, x: fnp.argmax(model(x), -1))
    history, guesses, started = [], test_y, time.perf_counter()
    with tqdm(total=steps, unit="step", desc="training") as bar:
        for _ in range(epochs):
            order = rng.permutation(len(x))[: len(x) // BATCH * BATCH].reshape(-1, BATCH)
            values = []
            for batch in order:
                model, state, value = step(model, state, x[batch], y[batch])
                values.append(float(value))
                bar.update()
            guesses = np.asarray(read(model, test_x))
            history.append((np.mean(values), np.mean(guesses == test_y)))
            bar.set_postfix(loss=f"{history[-1][0]:.3f}", accuracy=f"{history[-1][1]:.3f}")
    print(f"{steps} steps in {time.perf_counter() - started:.1f} s")
    draw(np.array(history), test_x, test_y, guesses, OUT / "digits.png")
    print(f"test accuracy: {history[-1][1]:.4f}")


if __name__ == "__main__":
    main()
