"""Graphs as text, as pictures, and under the checker."""

from __future__ import annotations

import builtins

import pytest

import fnn
import fnn.numpy as fnp
from fnn.core.checker import check
from fnn.core.ir import Equation, Graph, Var
from fnn.errors import GraphError, MissingDependency


def program(x, w):
    h = fnp.tanh(x @ w)
    return fnn.lax.cond(fnp.sum(h) > 0, lambda h: h * 2.0, lambda h: -h, h)


GRAPH = fnn.make_ir(program)(fnp.ones((2, 3)), fnp.ones((3, 4)))


def test_text_names_types_parameters_and_lines() -> None:
    text = GRAPH.text(sources=True)
    assert str(GRAPH) == GRAPH.text()
    assert "tanh" in text and "f32[2,4]" in text and "branches (" in text
    assert "test_graphs.py:17" in text  # where tanh was called


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_pictures_are_written(tmp_path, suffix) -> None:
    path = tmp_path / f"graph.{suffix}"
    GRAPH.draw(str(path))
    content = path.read_bytes()
    assert len(content) > 5000
    if suffix == "svg":
        assert b"tanh" in content or b"<path" in content


def test_notebooks_get_a_picture() -> None:
    assert "<svg" in (GRAPH._repr_svg_() or "")


def test_drawing_without_matplotlib_says_what_to_install(monkeypatch) -> None:
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingDependency, match="pip install"):
        GRAPH.draw()
    assert GRAPH._repr_svg_() is None


def test_huge_graphs_are_refused() -> None:
    graph = fnn.make_ir(lambda x: [x := x + 1.0 for _ in range(500)][-1])(1.0)
    with pytest.raises(ValueError, match="print it instead"):
        graph.draw()


def test_the_checker_finds_what_is_wrong() -> None:
    check(GRAPH)
    tanh = next(e for e in GRAPH.equations if e.primitive.name == "tanh")
    late = [tanh, *(e for e in GRAPH.equations if e is not tanh)]
    with pytest.raises(GraphError, match="before it is assigned"):
        check(Graph(GRAPH.inputs, GRAPH.outputs, late))
    with pytest.raises(GraphError, match="assigned twice"):
        check(Graph(GRAPH.inputs, GRAPH.outputs, [*GRAPH.equations, tanh]))
    wrong = Equation(tanh.primitive, tanh.inputs, [Var(GRAPH.in_avals[0])], tanh.params)
    with pytest.raises(GraphError, match="shape rule gives"):
        check(Graph(GRAPH.inputs, GRAPH.outputs, [*GRAPH.equations, wrong]))
    unhashable = Equation(tanh.primitive, tanh.inputs, [Var(tanh.outputs[0].aval)], {"axes": [1]})
    with pytest.raises(GraphError, match="not hashable"):
        check(Graph(GRAPH.inputs, GRAPH.outputs, [*GRAPH.equations, unhashable]))
