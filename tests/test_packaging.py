"""The package list, the links and the guards: what an installed fnn holds is what the checkout holds."""

import importlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
BESIDE = ("kernels", "primitives", "transforms")  # packages of fnn whose directories lie beside fnn/
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PYPROJECT["tool"]["setuptools"]


def packages_below(directory: Path, name: str) -> set[str]:
    """The dotted names of the packages at and below ``directory``, links not followed."""
    found = set()
    for folder, subfolders, files in os.walk(directory, followlinks=False):
        subfolders[:] = [each for each in subfolders if each != "__pycache__"]
        if "__init__.py" in files:
            found.add(".".join((name, *Path(folder).relative_to(directory).parts)))
    return found


def modules_below(directory: Path, name: str) -> set[str]:
    """The paths inside a wheel of the Python files at and below ``directory``, links not followed."""
    found = set()
    for folder, subfolders, files in os.walk(directory, followlinks=False):
        subfolders[:] = [each for each in subfolders if each != "__pycache__"]
        inside = Path(name, Path(folder).relative_to(directory))
        found |= {(inside / file).as_posix() for file in files if file.endswith(".py")}
    return found


def test_package_list_is_the_directories_with_an_init() -> None:
    on_disk = packages_below(ROOT / "fnn", "fnn")
    for name in BESIDE:
        on_disk |= packages_below(ROOT / name, f"fnn.{name}")
    assert sorted(on_disk) == sorted(SETUPTOOLS["packages"])


def test_every_directory_with_modules_is_a_package() -> None:
    for name in ("fnn", *BESIDE):
        for module in (ROOT / name).rglob("*.py"):
            assert (module.parent / "__init__.py").exists(), (
                f"{module.relative_to(ROOT)}: no __init__.py beside it"
            )


def test_directories_beside_fnn_are_mapped_into_it() -> None:
    assert SETUPTOOLS["package-dir"] == {f"fnn.{name}": name for name in BESIDE}


@pytest.mark.parametrize("name", BESIDE)
def test_link_inside_fnn_leads_to_the_directory(name: str) -> None:
    link = ROOT / "fnn" / name
    if not link.is_symlink():
        # Where links are not supported a checkout has none, or a text file that holds the target; the package
        # mapping serves there. A real directory would be a second copy of the source.
        assert not link.is_dir()
        return
    assert os.readlink(link) == f"../{name}"
    assert link.resolve() == ROOT / name


def test_type_checker_is_pointed_at_every_link() -> None:
    assert {f"fnn/{name}" for name in BESIDE} < set(PYPROJECT["tool"]["pyright"]["include"])


@pytest.mark.parametrize("name", BESIDE)
def test_bare_import_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    with pytest.raises(ImportError, match=rf"import it as 'fnn\.{name}'"):
        importlib.import_module(name)
    assert name not in sys.modules


@pytest.mark.parametrize("name", BESIDE)
def test_import_under_fnn_is_the_same_directory(name: str) -> None:
    module = importlib.import_module(f"fnn.{name}")
    assert module.__file__ is not None
    assert Path(module.__file__).resolve() == ROOT / name / "__init__.py"


def test_core_requirements_have_both_ends() -> None:
    for requirement in map(Requirement, PYPROJECT["project"]["dependencies"]):
        operators = {clause.operator for clause in requirement.specifier}
        assert "==" in operators or operators == {">=", "<"}, f"{requirement}: pin both ends"


def test_numba_is_capped_at_its_minor_version() -> None:
    pins = {each.name: str(each.specifier) for each in map(Requirement, PYPROJECT["project"]["dependencies"])}
    for name in ("numba", "llvmlite"):
        assert re.fullmatch(r"==\d+\.\d+\.\*", pins[name]), f"{name}{pins[name]}"


def test_version_has_one_source() -> None:
    import fnn
    from fnn.version import __version__

    assert fnn.__version__ == __version__
    assert "version" in PYPROJECT["project"]["dynamic"] and "version" not in PYPROJECT["project"]


def test_import_is_light() -> None:
    """``import fnn`` brings in neither the compiler nor what only some programs use."""
    heavy = ("numba", "scipy", "matplotlib", "sklearn", "tqdm", "safetensors", "hypothesis")
    code = f"import sys, fnn; print(*[name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built by the project's own backend from a copy of what packaging reads, without the network."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("fnn", *BESIDE):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignore)
    out = tmp_path_factory.mktemp("wheel")
    code = f"from setuptools import build_meta; print(build_meta.build_wheel({str(out)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.glob("fnn-*.whl")
    return built


def test_wheel_holds_every_module_once_under_fnn(wheel: Path) -> None:
    expected = modules_below(ROOT / "fnn", "fnn")
    for name in BESIDE:
        expected |= modules_below(ROOT / name, f"fnn/{name}")
    names = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]
    assert len(names) == len(set(names))
    assert set(names) == expected | {"fnn/py.typed"}


def test_installed_wheel_works_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """The wheel's content alone, on the path, from another directory: import, differentiate, compile."""
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r})\n"
        "import fnn, fnn.numpy as fnp\n"
        f"assert fnn.__file__.startswith({str(site)!r}), fnn.__file__\n"
        f"import fnn.kernels; assert fnn.kernels.__file__.startswith({str(site)!r}), fnn.kernels.__file__\n"
        "slope = fnn.jit(fnn.grad(lambda x: fnp.sum(x * x)))\n"
        "print(slope(fnp.array([1.0, 2.0])).tolist())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[2.0, 4.0]"
