"""What `import fnn` brings along: no compiler, and nothing that only some programs need."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("numba", "llvmlite", "scipy", "matplotlib", "fnn.kernels.executable", "fnn.nn", "fnn.optim")
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


def test_compilers_are_imported_by_the_first_program_that_is_compiled() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FNN_PRINTER": "vector"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    imported, eager, compiled = map(json.loads, done.stdout.splitlines())
    assert imported == eager == []
    assert compiled == ["llvmlite", "fnn.kernels.executable"]
