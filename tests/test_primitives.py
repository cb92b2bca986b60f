"""Every primitive of the registry on every sample, and the completeness of the registry."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import fnn.primitives
import fnn.transforms
from fnn.core.ir import subgraphs
from fnn.core.primitive import Primitive, Unsupported, registry
from tests import primitive_checks as checks
from tests import primitive_dtypes as variants

for package in (fnn.primitives, fnn.transforms):  # what they define enters the registry
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")

CASES = checks.cases()
made: Counter[str] = Counter()
unmade: Counter[str] = Counter()


class Summary:
    """A closing line: how much was checked, and why some checks say nothing about some samples."""

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """A worker of pytest-xdist hands what it counted to the controller; see conftest.py."""
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output["primitives"] = [len(registry), len(CASES), sum(made.values())]

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        terminalreporter.write_line(
            f"primitives: {len(registry)}, samples: {len(CASES)}, checks made: {sum(made.values())} "
            f"({', '.join(f'{name} {count}' for name, count in sorted(made.items()))})"
        )
        for reason, count in sorted(unmade.items()):
            terminalreporter.write_line(f"    {count} times not applicable: {reason}")


@pytest.fixture(scope="session", autouse=True)
def summary(request: pytest.FixtureRequest) -> Iterator[None]:
    request.config.pluginmanager.register(Summary(), "summary of primitives")
    yield


def make(check: Callable[..., str | None], *args: Any) -> None:
    reason = check(*args)
    name = check.__name__.removeprefix("check_")
    if reason is None:
        made[name] += 1
    else:
        unmade[f"{name}: {reason}"] += 1


EAGER = (
    checks.check_type,
    checks.check_jvp,
    checks.check_vjp,
    checks.check_weak_operands,
    checks.check_second_order,
    checks.check_refusal,
    checks.check_batch,
    checks.check_empty_batch,
)
COMPILED = (checks.check_jit, checks.check_jit_of_derivatives)


@pytest.mark.parametrize("check", [*EAGER, *COMPILED], ids=lambda c: c.__name__)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_primitive(case: checks.Case, check: Callable[..., str | None]) -> None:
    make(check, case)


@pytest.mark.parametrize("code", variants.FLOATS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_float_dtypes(case: checks.Case, code: str) -> None:
    make(variants.check_float_dtype, case, code)


def first(has: Callable[[checks.Case], bool], count: int) -> list[checks.Case]:
    """The first few cases of each primitive of which that is true."""
    seen: Counter[str] = Counter()
    found = []
    for case in filter(has, CASES):
        seen[case.primitive.name] += 1
        if seen[case.primitive.name] <= count:
            found.append(case)
    return found


@pytest.mark.parametrize("code", variants.FLOATS)
@pytest.mark.parametrize("case", first(variants.has_floats, 2), ids=str)
def test_jit_of_float_dtypes(case: checks.Case, code: str) -> None:
    make(variants.check_jit_of_float_dtype, case, code)


@pytest.mark.parametrize("code", variants.INTEGERS)
@pytest.mark.parametrize("case", first(variants.has_integers, 2), ids=str)
def test_integer_dtypes(case: checks.Case, code: str) -> None:
    make(variants.check_integer_dtype, case, code)


# -- completeness --------------------------------------------------------------------------------------------

RULES = ("jvp", "vjp", "batch", "lower")


# What works only inside a vmap that names its axis cannot be called alone: these are tested where vmap is.
UNDER_A_NAMED_AXIS = {"all_gather", "all_to_all", "axis_index", "pmax", "pmin", "ppermute", "psum"}


def missing(primitive: Primitive) -> list[str]:
    """What a primitive lacks."""
    lacks = [rule for rule in RULES if getattr(primitive, rule) is None]
    lacks += [
        f"{rule}'s reason"
        for rule in RULES
        if isinstance(getattr(primitive, rule), Unsupported) and len(getattr(primitive, rule).reason) < 10
    ]
    return lacks if primitive.samples or primitive.name in UNDER_A_NAMED_AXIS else [*lacks, "samples"]


@pytest.mark.parametrize("name", sorted(registry))
def test_every_primitive_is_complete(name: str) -> None:
    assert missing(registry[name]) == []


def test_a_hole_is_noticed() -> None:
    hole = Primitive.__new__(Primitive)
    for slot in Primitive.__slots__:
        setattr(hole, slot, () if slot == "_samples" else None)
    assert missing(hole) == [*RULES, "samples"]


@pytest.mark.parametrize("name", sorted(UNDER_A_NAMED_AXIS))
def test_what_needs_a_named_axis_is_tested_elsewhere(name: str) -> None:
    assert registry[name].floor is not None
    others = [path for path in Path(__file__).parent.glob("test_*.py") if path.name != Path(__file__).name]
    assert any(re.search(rf"\b{name}\(", path.read_text()) for path in others), f"no test calls {name}"


def test_families_are_all_here() -> None:
    """The names that the rest of fnn and its documentation count on."""
    expected = [
        "add",
        "sub",
        "mul",
        "div",
        "rem",
        "neg",
        "abs",
        "sign",
        "max",
        "min",
        "pow",
        "integer_pow",
        "sqrt",
        "rsqrt",
        "cbrt",
        "exp",
        "exp2",
        "log",
        "log1p",
        "expm1",
        "sin",
        "cos",
        "tan",
        "asin",
        "acos",
        "atan",
        "atan2",
        "sinh",
        "cosh",
        "tanh",
        "asinh",
        "acosh",
        "atanh",
        "erf",
        "erfc",
        "erf_inv",
        "lgamma",
        "digamma",
        "logistic",
        "floor",
        "ceil",
        "round",
        "nextafter",
        "is_finite",
        "square",
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "and",
        "or",
        "xor",
        "not",
        "shift_left",
        "shift_right_logical",
        "shift_right_arithmetic",
        "population_count",
        "clz",
        "select",
        "clamp",
        "convert",
        "bitcast",
        "stop_gradient",
        "broadcast",
        "reshape",
        "transpose",
        "slice",
        "rev",
        "pad",
        "concatenate",
        "iota",
        "copy",
        "reduce_sum",
        "reduce_prod",
        "reduce_max",
        "reduce_min",
        "reduce_and",
        "reduce_or",
        "reduce_xor",
        "argmax",
        "argmin",
        "cumsum",
        "cumprod",
        "cummax",
        "cummin",
        "cumlogsumexp",
        "dot_general",
        "conv_general_dilated",
        "reduce_window",
        "gather",
        "scatter",
        "dynamic_slice",
        "dynamic_update_slice",
        "sort",
        "top_k",
        "threefry2x32",
        "cholesky",
        "triangular_solve",
    ]
    assert set(expected) <= set(registry)


@pytest.mark.parametrize("name", sorted(registry))
def test_every_primitive_meets_an_empty_array(name: str) -> None:
    """One of its samples has an operand or a result without elements, or its graphs decide what it meets."""
    primitive = registry[name]
    if name in UNDER_A_NAMED_AXIS or any(next(subgraphs(s.params), None) for s in primitive.samples):
        return
    assert any(variants.is_empty(primitive, s) for s in primitive.samples), (
        f"{name} has no sample with an empty array"
    )


def test_package_exports_every_family() -> None:
    for name in ("add", "select", "broadcast", "reduce_sum", "cumsum", "dot_general", "zeros"):
        assert hasattr(fnn.primitives, name)
