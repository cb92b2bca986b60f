"""Narrower processors than this one: kernels for AVX2 and for SSE2 alone pass the tests of kernels too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fnn.kernels.cpu import machine

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
WIDTHS = {"haswell": 32, "x86-64": 16}
# Each part takes some minutes on a busy machine.
PARTS = {
    "loops": "loops loop_kernels register_bodies register_loops gemm lowering lowering_programs masked_stores",
    "functions": "mathematics printers_agree executable plan special_values one_hot_products",
    "irregular": "convolution windows sorting_primitives indexing_primitives",
    "primitives": "primitives",
}
# What depends on the length of vectors most, in seconds.
THIN = ["test_masked_stores.py", "test_gemm.py"]

pytestmark = pytest.mark.skipif(
    not machine.triple().startswith("x86_64") or machine.lanes() < 32,
    reason="there is nothing narrower to emulate",
)


def passes(arguments: list[str], **environment: str) -> None:
    """Run tests for another processor in a process of their own."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


@pytest.mark.parametrize("name", WIDTHS)
def test_a_few_tests_of_kernels_pass_on_narrower_processors(name: str) -> None:
    passes([f"tests/{file}" for file in THIN], FNN_CPU_NAME=name)


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", WIDTHS)
def test_the_tests_of_kernels_pass_on_narrower_processors(name: str, part: str) -> None:
    passes(["-n", "2", *[f"tests/test_{file}.py" for file in PARTS[part].split()]], FNN_CPU_NAME=name)


@pytest.mark.parametrize(
    "environment, lanes",
    [
        ({"NUMBA_CPU_NAME": "haswell"}, 32),
        ({"NUMBA_CPU_NAME": "x86-64-v4", "NUMBA_CPU_FEATURES": "-avx512f"}, 32),
        ({"NUMBA_CPU_NAME": "haswell", "FNN_CPU_NAME": "x86-64"}, 16),
        ({"NUMBA_CPU_NAME": "host"}, machine.lanes()),
    ],
)
def test_the_processor_that_numba_is_told_counts_too(environment: dict[str, str], lanes: int) -> None:
    code = "from fnn.kernels.cpu import machine; print(machine.lanes())"
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=ROOT, env=ENVIRONMENT | environment, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == lanes
