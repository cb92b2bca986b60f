"""The import order, the size of files and the other rules that keep the source one thing."""

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ("fnn", "transforms", "primitives", "kernels")
LONGEST = 500
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
(CONTRACT,) = PYPROJECT["tool"]["importlinter"]["contracts"]
PLACED = [
    [name.strip().strip("()") for name in layer.replace("|", ":").split(":")] for layer in CONTRACT["layers"]
]


def python_files(*tops: str) -> Iterator[Path]:
    """Every Python file below the named directories of the checkout, once: links are not followed."""
    for top in tops:
        for folder, subfolders, files in os.walk(ROOT / top, followlinks=False):
            subfolders[:] = sorted(each for each in subfolders if each != "__pycache__")
            yield from (Path(folder, file) for file in sorted(files) if file.endswith(".py"))


def lint_imports(directory: Path) -> subprocess.CompletedProcess[str]:
    """Run the import contract of ``directory``'s pyproject.toml on the package fnn that lies in it."""
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    environment = {**os.environ, "PYTHONPATH": str(directory)}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=directory, env=environment, capture_output=True, text=True
    )


def test_import_order_holds() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_module_of_fnn_has_its_place() -> None:
    """The contract's own ``exhaustive`` says this too; here it names the file without reading the imports."""
    assert CONTRACT["exhaustive"]
    below = {
        path.stem if path.is_file() else path.name for path in (ROOT / "fnn").iterdir() if is_module(path)
    }
    missing = below - {name for layer in PLACED for name in layer} - {"__init__"}
    assert not missing, f"give fnn.{min(missing)} a place in [tool.importlinter] of pyproject.toml"


def is_module(path: Path) -> bool:
    """Whether ``path`` is a module or a package (through a link, too)."""
    return path.suffix == ".py" or (path / "__init__.py").exists()


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """A copy of the contract over empty modules: one for every name that it places."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    package = tmp_path / "fnn"
    package.mkdir()
    for name in ("__init__", *(name for layer in PLACED for name in layer)):
        (package / f"{name}.py").write_text("")
    return tmp_path


def test_contract_accepts_empty_modules(toy: Path) -> None:
    done = lint_imports(toy)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("lower", range(1, len(PLACED)))
def test_contract_refuses_an_import_from_the_layer_above(toy: Path, lower: int) -> None:
    name, above = PLACED[lower][0], PLACED[lower - 1][0]
    (toy / "fnn" / f"{name}.py").write_text(f"def inside():\n    from fnn.{above} import anything\n")
    done = lint_imports(toy)
    assert done.returncode == 1 and f"fnn.{name} -> fnn.{above}" in done.stdout, done.stdout + done.stderr


def test_contract_refuses_a_module_without_a_place(toy: Path) -> None:
    (toy / "fnn" / "stray.py").write_text("")
    done = lint_imports(toy)
    assert done.returncode == 1 and "stray" in done.stdout, done.stdout + done.stderr


def test_no_module_imports_the_package_root() -> None:
    """``import fnn`` inside fnn would reach every layer at once, unseen by the contract."""
    found = []
    for path in python_files(*SOURCE):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import) and any(alias.name == "fnn" for alias in node.names):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert found == []


def test_files_are_of_readable_size() -> None:
    lengths = {
        path: len(path.read_text().splitlines()) for path in python_files(*SOURCE, "examples", "tests")
    }
    assert lengths, "no source was found"
    long = {str(path.relative_to(ROOT)): lines for path, lines in lengths.items() if lines > LONGEST}
    assert long == {}


def test_no_room_without_a_name() -> None:
    nameless = {"utils.py", "util.py", "helpers.py", "misc.py", "common.py"}
    assert [str(path.relative_to(ROOT)) for path in python_files(*SOURCE) if path.name in nameless] == []
