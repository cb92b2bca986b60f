"""Names that are loaded when they are first used: what a start loads, and that nothing is missing in the end."""

import importlib
import os
import pkgutil
import subprocess
import sys
import types
from pathlib import Path

import pytest

import fnn
import fnn.numpy as fnp
from fnn.core.array import Array
from fnn.lazy import Method, names

ROOT = Path(__file__).resolve().parent.parent
NAMESPACES = ("", ".numpy", ".lax", ".nn", ".optim", ".random", ".operations", ".primitives", ".transforms")
# A fresh process forks once for each module and imports that one alone.
ALONE = """
import importlib, os, sys
import fnn
for module in sys.argv[1:]:
    if not (pid := os.fork()):
        try:
            importlib.import_module(module)
        except BaseException as error:
            print(module, repr(error), flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
"""
SMALL = "import fnn, sys; print(*[m for m in sys.modules if m.startswith('fnn.')])"


EXAMPLE = """
with names(globals()):
    from math import pi
    from math import tau as turn
    from os import path
    half = pi
"""


def python(script: str, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def modules() -> list[str]:
    found: list[str] = []
    todo = [("fnn", str(ROOT / "fnn"))]
    while todo:
        package, folder = todo.pop()
        for module in pkgutil.iter_modules([folder]):
            found.append(f"{package}.{module.name}")
            if module.ispkg:
                todo.append((found[-1], str(Path(folder, module.name))))
    return sorted(found)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks a process for each module")
def test_every_module_can_be_the_first_to_be_imported() -> None:
    assert len(found := modules()) > 200
    assert python(ALONE, *[m for m in found if "numba" not in m]) == ""


def test_import_loads_no_operation_and_no_transformation() -> None:
    loaded = python(SMALL).split()
    assert "fnn.core.array" in loaded
    families = ("fnn.primitives.", "fnn.transforms", "fnn.operations.", "fnn.kernels", "fnn.lax", "fnn.numpy")
    assert [m for m in loaded if m.startswith(families)] == []


@pytest.mark.parametrize("package", NAMESPACES)
def test_every_name_of_a_namespace_is_there(package: str) -> None:
    module = importlib.import_module(f"fnn{package}")
    assert set(module.__all__) <= set(dir(module))
    for name in dir(module):
        assert getattr(module, name) is module.__dict__[name]
    at_once = python(SMALL).split()
    # importing a module would put it in the place of a function of the same name
    for inner in pkgutil.iter_modules(module.__path__):
        known = isinstance(getattr(module, inner.name, module), types.ModuleType)
        assert known or f"fnn{package}.{inner.name}" in at_once, f"rename {inner.name}.py"


@pytest.mark.parametrize("name", ["convolution", "elementwise", "slicing"])
def test_what_a_module_of_lax_offers_is_in_lax(name: str) -> None:
    assert set(importlib.import_module(f"fnn.lax.{name}").__all__) <= set(dir(fnn.lax))


def test_every_method_of_an_array_loads() -> None:
    x = fnp.ones(3)
    for name in dir(Array):
        if not isinstance(vars(type(x)).get(name), types.MemberDescriptorType):
            getattr(Array, name)
    assert not [name for name, value in vars(Array).items() if isinstance(value, Method)]
    assert (x + x).sum().item() == 6.0


def namespace(name: str) -> types.ModuleType:
    module = types.ModuleType(name)
    sys.modules[name] = module
    return module


def test_names_load_once_and_others_are_reported() -> None:
    module = namespace("fnn_lazy_example")
    vars(module)["names"] = names
    exec(EXAMPLE, vars(module))
    try:
        assert "pi" not in vars(module) and {"half", "path", "pi", "turn"} <= set(dir(module))
        import math

        assert module.half == module.pi == math.pi and module.turn == math.tau and module.path is os.path
        assert vars(module)["pi"] == math.pi
        with pytest.raises(AttributeError, match="'fnn_lazy_example' has no attribute 'e'"):
            _ = module.e
    finally:
        del sys.modules["fnn_lazy_example"]


def test_python_imports_as_always_after_a_block_that_fails() -> None:
    module = namespace("fnn_lazy_example")
    vars(module)["names"] = names
    with pytest.raises(ZeroDivisionError):
        exec("with names(globals()):\n    from math import pi\n    1 / 0\n", vars(module))
    del sys.modules["fnn_lazy_example"]
    from math import pi

    assert isinstance(pi, float)


def test_a_wrong_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'fnn' has no attribute 'grda'"):
        _ = fnn.grda  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="did you mean 'concatenate'"):
        _ = fnp.concatenat  # type: ignore[attr-defined]
