"""Graphs as pictures: equations as boxes in layers, values as arrows."""

from __future__ import annotations

import io
import os
from typing import Any

from fnn.core.ir import Equation, Graph, Var, subgraphs
from fnn.core.printer import parameter_text
from fnn.core.source import short
from fnn.errors import MissingDependency

_COLOURS = {
    "input": "#dbe7f5", "output": "#d8efd9", "Elementwise": "#fff3d6", "IndexMap": "#eeeeee", "Iota": "#eeeeee",
    "Reduction": "#fbdccd", "Contraction": "#f6c4c4", "Kernel": "#e6d9f2", "Library": "#e6d9f2", "Loop": "#cfe8e6",
    "Decompose": "#fff3d6",
}  # fmt: skip
_LIMIT = 400  # equations: a larger picture cannot be read


def _layers(graph: Graph) -> tuple[dict[Any, int], dict[Var, Any]]:
    """The layer of every node (input variables and equations) and the node that makes every variable."""
    level: dict[Any, int] = dict.fromkeys(graph.inputs, 0)
    made: dict[Var, Any] = {v: v for v in graph.inputs}
    for eqn in graph.equations:
        level[eqn] = 1 + max((level[made[a]] for a in eqn.inputs if type(a) is Var), default=0)
        made.update((v, eqn) for v in eqn.outputs)
    return level, made


def _label(eqn: Equation, bodies: list[str]) -> str:
    plain = [f"{k}={parameter_text(v)}" for k, v in eqn.params.items() if k not in bodies]
    text = ", ".join(plain)
    text = text if len(text) <= 34 else text[:31] + "..."
    lines = [eqn.primitive.name, text, ", ".join(str(v.aval) for v in eqn.outputs[:2]), short(eqn.source)]
    return "\n".join(line for line in lines if line and line != "?")


def draw(graph: Graph, path: str | os.PathLike | None = None, title: str = "") -> Any:
    """A picture of a graph with matplotlib: written to path (.svg, .png, .pdf), or the matplotlib figure if
    path is None.

    Boxes are coloured by the way they are lowered and carry name, parameters, type and the user's line;
    graphs inside of equations are drawn to the right of the graph that holds them. Raises MissingDependency
    without matplotlib and ValueError for graphs of more than 400 equations.

    >>> import fnn, fnn.numpy as fnp
    >>> from fnn.core.drawing import draw
    >>> figure = draw(fnn.make_ir(lambda x: fnp.sin(x) * x)(1.0))
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingDependency.of("matplotlib", "drawing graphs") from None
    panels: list[tuple[str, Graph]] = [(title or "graph", graph)]
    for name, inner in panels:  # grows while it is walked: inner graphs of inner graphs too
        for eqn in inner.equations:
            bodies = list(subgraphs(eqn.params))
            for i, (key, body) in enumerate(bodies):
                number = f"[{i}]" if bodies[0][0] == bodies[-1][0] and len(bodies) > 1 else ""
                panels.append((f"{name} / {eqn.primitive.name}.{key}{number}", body))
    if sum(len(g.equations) for _, g in panels) > _LIMIT:
        raise ValueError(
            f"a graph of more than {_LIMIT} equations cannot be drawn readably; print it instead"
        )
    sizes = []
    for _, g in panels:
        level, _ = _layers(g)
        counts = [list(level.values()).count(k) for k in range(max(level.values(), default=0) + 1)]
        sizes.append((max(counts, default=1), len(counts) + 1))
    figure = Figure(figsize=(2.6 * sum(w for w, _ in sizes) + 0.6, 1.15 * max(h for _, h in sizes) + 0.6))
    axes = figure.subplots(1, len(panels), squeeze=False, width_ratios=[w for w, _ in sizes])[0]
    for ax, (name, g) in zip(axes, panels, strict=True):
        _panel(ax, name, g, max(h for _, h in sizes))
    figure.tight_layout()
    if path is None:
        return figure
    figure.savefig(path, dpi=120)
    return None


def _panel(ax: Any, name: str, graph: Graph, depth: int) -> None:
    level, made = _layers(graph)
    rows: dict[int, list[Any]] = {}
    for node, k in level.items():
        rows.setdefault(k, []).append(node)
    place: dict[Any, tuple[float, float]] = {}
    for k, nodes in sorted(rows.items()):

        def centre(node: Any) -> float:  # below its operands, so that arrows cross little
            xs = [place[made[a]][0] for a in getattr(node, "inputs", ()) if type(a) is Var]
            return sum(xs) / len(xs) if xs else 0.0

        nodes.sort(key=centre)
        for i, node in enumerate(nodes):
            place[node] = (i - (len(nodes) - 1) / 2, -float(k))
    for node, (x, y) in place.items():
        for a in getattr(node, "inputs", ()):
            if type(a) is Var:
                x0, y0 = place[made[a]]
                over = abs(x - x0) < 0.3 and y0 - y > 1  # an arrow past boxes in its way goes round them
                style = {"arrowstyle": "->", "color": "#888888", "lw": 0.8}
                if over:
                    style["connectionstyle"] = "arc3,rad=-0.35"
                ax.annotate("", (x, y + 0.3), (x0, y0 - 0.3), arrowprops=style)
    outputs = {made[a] for a in graph.outputs if type(a) is Var}
    for node, (x, y) in place.items():
        if type(node) is Var:
            text, colour = f"input {graph.inputs.index(node)}\n{node.aval}", _COLOURS["input"]
        else:
            text = _label(node, [k for k, _ in subgraphs(node.params)])
            colour = (
                _COLOURS["output"]
                if node in outputs
                else _COLOURS.get(type(node.primitive.lower).__name__, "white")
            )
        ax.text(
            x,
            y,
            text,
            ha="center",
            va="center",
            fontsize=7,
            bbox={"boxstyle": "round", "facecolor": colour, "edgecolor": "#555555", "lw": 0.7},
        )
    width = max((abs(x) for x, _ in place.values()), default=0) + 0.6
    ax.set_xlim(-width, width)
    ax.set_ylim(-depth + 1.4, 0.6)
    ax.set_title(name, fontsize=8)
    ax.axis("off")


def svg_or_none(graph: Graph) -> str | None:
    """The picture as SVG text, for notebooks; None where it cannot be drawn, so that the text is shown
    instead."""
    try:
        figure = draw(graph)
    except (MissingDependency, ValueError):
        return None
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg")
    return buffer.getvalue()
