"""What `import fnn` and a warm start bring along: no compiler, and nothing that only some programs need."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOWERING = (
    "fnn.transforms.passes.pipeline",
    "fnn.kernels.lower",
    "fnn.kernels.plan",
    "fnn.kernels.cpu.llvm_printer",
)
HEAVY = (*LOWERING, "llvmlite", "numba", "scipy", "matplotlib", "fnn.nn", "fnn.optim")
SCRIPT = f"""
import json, sys
import fnn
print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))
import fnn.numpy as fnp
fnn.grad(lambda x: fnp.sum(x * x))(fnp.ones(3))
print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))
fnn.jit(lambda x: x + 1.0)(1.0)
print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))
"""


def imported(cache: Path) -> list[list[str]]:
    """What of the heavy modules is there after the import, after eager operations, and after a compiled program."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "FNN_PRINTER": "vector",
        "FNN_CACHE_DIR": str(cache),
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_compilers_are_imported_by_the_first_program_that_is_compiled(tmp_path: Path) -> None:
    imports, eager, compiled = imported(tmp_path)
    assert imports == eager == []
    assert compiled == [*LOWERING, "llvmlite"]


def test_a_process_that_finds_all_in_the_cache_imports_no_compiler(tmp_path: Path) -> None:
    imported(tmp_path)
    assert imported(tmp_path) == [[], [], []] or platform.machine() != "x86_64"
