"""The examples run as a user runs them: in a process of their own, quickly, and say what they promise."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(name: str, folder: Path) -> str:
    """What an example prints with --quick. It runs as a copy, so that its pictures go to a folder of the test's."""
    script = shutil.copy(ROOT / "examples" / f"{name}.py", folder)
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, script, "--quick"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and "Warning" not in done.stderr, done.stderr
    return done.stdout


def needs(*modules: str) -> None:
    missing = [m for m in modules if importlib.util.find_spec(m) is None]
    if missing:
        pytest.skip(f"the examples extra is not installed: {', '.join(missing)}")


def test_quickstart_shows_the_program_and_its_kernels(tmp_path: Path) -> None:
    out = run("quickstart", tmp_path)
    assert "dot_general" in out and "tanh" in out, "the program"
    assert re.search(r"^def \w+\(", out, re.MULTILINE) and "for t0 in range" in out, "the kernels"
    assert len(out.splitlines()) < 60, "one screen"
    rows = re.findall(r"\[+\s*(-?[\d.e-]+) +(-?[\d.e-]+) +(-?[\d.e-]+)\]+", out)
    total = [float(x) for x in rows[0]]
    sums = [sum(float(r[i]) for r in rows[1:3]) for i in range(3)]
    assert total == pytest.approx(sums, abs=1e-6), "the derivative is the sum of those of the rows"


def test_digits_learns_to_read(tmp_path: Path) -> None:
    needs("sklearn", "matplotlib")
    out = run("digits", tmp_path)
    found = re.search(r"test accuracy: ([\d.]+)", out)
    assert found and float(found[1]) > 0.9, out  # a few epochs
    assert (tmp_path / "out" / "digits.png").stat().st_size > 10_000


def test_dynamics_comes_closer_to_the_true_rates(tmp_path: Path) -> None:
    needs("matplotlib")
    out = run("dynamics", tmp_path)
    loss = re.search(r"loss ([\d.]+) -> ([\d.]+)", out)
    assert loss and float(loss[2]) < 0.5 * float(loss[1]), out
    assert len(re.findall(r"found [\d.]+", out)) == 4
    assert (tmp_path / "out" / "dynamics.png").stat().st_size > 10_000
