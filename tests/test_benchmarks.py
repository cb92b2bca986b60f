"""The benchmarks run: every program traces on fnn, and figures become ratios, a table and a picture."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import fnn

FOLDER = Path(__file__).resolve().parent / "benchmarks"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a module of the benchmarks, which are scripts beside each other."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


def test_every_program_traces(load: Any) -> None:
    workloads: ModuleType = load("workloads")
    library = workloads.library("fnn")
    for name, program in workloads.load().items():
        arguments = fnn.tree.map(fnn.numpy.asarray, program.inputs(np.random.default_rng(0)))
        out = fnn.eval_shape(program.build(library), *arguments)
        leaves = fnn.tree.leaves(out)
        assert leaves, name
        if program.carries:
            state, loss = out
            assert loss.shape == () and fnn.tree.structure(state) == fnn.tree.structure(arguments[0]), name


def test_one_program_is_measured_in_a_process_of_its_own() -> None:
    command = [sys.executable, str(FOLDER / "measure.py"), "fnn", "fori_scalar", "0.01", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout)
    assert figures.keys() == {"first_s", "whole_s", "checksum", "call_s", "peak_mb", "faults"}
    np.testing.assert_allclose(figures["checksum"], [1.0, 1.0], rtol=1e-3)  # the map's fixed point


def test_figures_become_ratios(load: Any) -> None:
    run: ModuleType = load("run")
    rounds = [{"call_s": 2.0, "checksum": [1.0, 1.0]}, {"call_s": 1.0, "checksum": [1.0, 1.0]}]
    assert run.least(rounds) == {"call_s": 1.0, "checksum": [1.0, 1.0]}
    assert run.least([rounds[0], {"error": "no"}]) == {"error": "no"}
    figures = {
        "fnn": {"call_s": 1.0, "whole_s": 1.0, "peak_mb": 100.0, "checksum": [1.0, 2.0]},
        "jax": {"call_s": 4.0, "whole_s": 2.0, "peak_mb": 200.0, "checksum": [1.0, 2.0]},
        "torch": {"call_s": 2.0, "checksum": [1.5, 2.0]},
        "torch.compile": {"error": "no"},
    }
    assert run.ratios(figures) == {"jax": 0.25, "torch": 0.5, "best": 0.5, "first": 0.5, "memory": 0.5}
    load("workloads").load()
    assert run.disagreeing("cumsum_1e6", figures) == ["torch"]
    assert run.disagreeing("normal_1e7", figures) == []  # each library draws its own numbers
    assert run.mean([0.5, 2.0]) == pytest.approx(1.0)


def test_the_picture_is_drawn(load: Any, tmp_path: Path) -> None:
    table = {"a": {"jax": 0.5, "torch": 0.001}, "b": {"jax": 9.0}}
    load("picture").draw(table, str(tmp_path / "bars.svg"))
    text = (tmp_path / "bars.svg").read_text()
    assert text.startswith("<?xml") and len(text) > 5000
