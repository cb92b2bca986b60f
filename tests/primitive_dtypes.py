"""The samples of primitives in other dtypes than they are written in."""

from __future__ import annotations

from typing import Any

import numpy as np

from fnn import dtypes
from fnn.core.aval import Aval
from fnn.core.primitive import Primitive, Sample, parse_spec
from fnn.core.trace import aval_of
from fnn.errors import DtypeError
from tests.primitive_checks import Case, check_jit, check_type, in_float64, is_typed, numpy, wrap
from tests.tolerances import assert_close

FLOATS = ("f8", "f2", "bf")
INTEGERS = ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")

LAPACK = (
    "cholesky", "triangular_solve", "lu", "tridiagonal_solve", "slogdet", "det", "geqrf", "geqp3", "householder_product",
    "ormqr", "qr", "eig", "geev", "eigh", "svd", "pseudo_inverse", "hessenberg",
    "schur", "sylvester", "triangular_sylvester", "tridiagonal",
)  # fmt: skip
# primitive -> (codes it refuses, why): asking for one of them must raise DtypeError
REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    **dict.fromkeys(LAPACK, (("f2", "bf"), "LAPACK has float32 and float64")),
    **dict.fromkeys(
        ("lu_solve", "factored_solve"),
        (
            ("f2", "bf", *[c for c in INTEGERS if c != "i4"]),
            "LAPACK has float32 and float64, and its pivots have 32 bits",
        ),
    ),
    "custom_kernel": (("f2", "bf"), "Numba has float32 and float64"),
    "complex": (("f2", "bf"), "complex numbers have parts of 32 or 64 bits"),
    "joined": (("f2", "bf"), "complex numbers have parts of 32 or 64 bits"),
    "fft": (("f2", "bf"), "NumPy transforms float32 and float64"),
    "threefry2x32": (tuple(c for c in INTEGERS if c != "u4"), "its words have 32 bits"),
}


def is_empty(primitive: Primitive, sample: Sample) -> bool:
    avals = [aval_of(wrap(v)) for v in sample.arrays(np.random.default_rng(0))]
    out = primitive.out_aval(tuple(avals), sample.params)
    return any(a.size == 0 for a in (*avals, *(out if primitive.multiple else [out])) if isinstance(a, Aval))


def recoded(case: Case, kinds: str, code: str) -> list[Any]:
    """The operands with every array of those kinds in the dtype of `code`, drawn as the sample draws them."""
    target = parse_spec(f"{code}[]")[0]
    args = []
    for a in case.sample.args:
        if isinstance(a, str) and dtypes.kind(parse_spec(a)[0]) in kinds:
            a = f"{code}[{a.partition('[')[2]}"
        elif isinstance(a, (np.ndarray, np.generic)) and dtypes.kind(a.dtype) in kinds:
            with np.errstate(all="ignore"):
                a = a.astype(target)
        args.append(a)
    sample = Sample(tuple(args), case.sample.params, case.sample.low, case.sample.high)
    return sample.arrays(case.rng())


def check_float_dtype(case: Case, code: str) -> str | None:
    """In another floating dtype: the result's type follows, and its numbers are those of float64, rounded."""
    if case.primitive.name == "nextafter":
        return "the result of nextafter is of its dtype alone"
    if is_typed(case):
        return "its parameters name the dtypes"
    values = recoded(case, "f", code)
    if not any(isinstance(v, (np.ndarray, np.generic)) and dtypes.is_float(v.dtype) for v in values):
        return "no operand is a floating array"
    if code in REFUSED.get(case.primitive.name, ((), ""))[0]:
        return _refused(case, values)
    narrow = case.call(*map(wrap, values))
    wide = case.call(*[wrap(in_float64(v)) for v in values])
    for got, want in zip(narrow, wide, strict=True):
        with np.errstate(all="ignore"):
            expected = numpy(want).astype(aval_of(got).dtype)
        assert_close(numpy(got), expected, case.sample.tolerance, parse_spec(f"{code}[]")[0], f"in {code}")
    return None


def check_jit_of_float_dtype(case: Case, code: str) -> str | None:
    """In another floating dtype the compiled primitive gives what NumPy gives."""
    if is_typed(case):
        return "its parameters name the dtypes"
    if code in REFUSED.get(case.primitive.name, ((), ""))[0]:
        return "refused, as checked without jit"
    return check_jit(_Fixed(case.primitive, case.sample, case.number, recoded(case, "f", code)))


def has_floats(case: Case) -> bool:
    specs = [parse_spec(a)[0] if isinstance(a, str) else getattr(a, "dtype", None) for a in case.sample.args]
    return any(d is not None and dtypes.is_float(d) for d in specs)


def has_integers(case: Case) -> bool:
    specs = [parse_spec(a)[0] if isinstance(a, str) else getattr(a, "dtype", None) for a in case.sample.args]
    return any(d is not None and dtypes.is_integer(d) for d in specs) and not is_typed(case)


def check_integer_dtype(case: Case, code: str) -> str | None:
    """In another integer dtype: the types fit, and the compiled result is NumPy's."""
    values = recoded(case, "iu", code)
    if code in REFUSED.get(case.primitive.name, ((), ""))[0]:
        return _refused(case, values)
    variant = _Fixed(case.primitive, case.sample, case.number, values)
    return check_type(variant) or check_jit(variant)


class _Fixed(Case):
    """A case whose operands are given."""

    def __init__(self, primitive: Primitive, sample: Sample, number: int, given: list[Any]):
        super().__init__(primitive, sample, number)
        object.__setattr__(self, "given", given)

    def values(self, salt: str = "") -> list[Any]:
        return self.given  # type: ignore[attr-defined]  # set above


def _refused(case: Case, values: list[Any]) -> str:
    """The primitive says that it does not take these."""
    try:
        case.call(*map(wrap, values))
    except DtypeError:
        return f"refused, {case.primitive.name}: {REFUSED[case.primitive.name][1]}"
    raise AssertionError(
        f"{case.primitive.name} takes {[getattr(v, 'dtype', None) for v in values]} after all"
    )
