"""The ratios of a run as bars."""

import math
from typing import Any

SERIES = (
    ("jax", "JAX", "#4c72b0"),
    ("torch", "PyTorch eager", "#dd8452"),
    ("torch.compile", "torch.compile", "#c44e52"),
)
SMALLEST, LARGEST = 1 / 64, 4.0  # what the axis shows; a bar beyond it ends with its number


def draw(table: dict[str, dict[str, float]], path: str) -> None:
    """How many times as long as fnn each peer takes, on a logarithmic axis: to the right of 1 fnn is faster."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    series = [s for s in SERIES if any(s[0] in row for row in table.values())]
    names = list(table)
    figure = Figure(figsize=(9, 1.2 + 0.36 * len(names)), layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.add_subplot()
    height = 0.8 / max(len(series), 1)
    for k, (key, label, colour) in enumerate(series):
        rows = [i for i, name in enumerate(names) if key in table[name]]
        values = [1 / table[names[i]][key] for i in rows]
        shown = [min(max(v, 1 / LARGEST), 1 / SMALLEST) for v in values]
        places = [i + (k - (len(series) - 1) / 2) * height for i in rows]
        axes.barh(places, [v - 1 for v in shown], left=1, height=height, color=colour, label=label)
        for place, value, end in zip(places, values, shown, strict=True):
            if not math.isclose(value, end):
                axes.annotate(
                    f" {value:,.0f}x" if value > 1 else f"{value:.2f}x", (end, place), va="center", fontsize=6
                )
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log", base=2)
    axes.set_xlim(1 / LARGEST, 2 / SMALLEST)
    ticks = [2.0**k for k in range(-2, 7)]
    axes.set_xticks(ticks, [f"{t:g}x" for t in ticks])
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel("time of a call over fnn's: right of 1, fnn is faster")
    axes.grid(axis="x", linewidth=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path)
