"""How exact the functions written out in arithmetic are: the largest errors met, in units in the last place.

    python -m tests.accuracy_table      measures, and writes docs/accuracy.md

f4 is judged by f8 (SciPy's, for the special functions), f8 by NumPy's extended precision or by mpmath; float16 and
bfloat16 are f4's results rounded once more. The samples take every exponent of the dtype alike, denormal numbers among
them, and more of what lies beside zeros, poles and the ends of the range. tests/test_accuracy.py holds the page to a
thinner sample.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from fnn import dtypes
from tests import test_mathematics as m

PAGE = Path(__file__).resolve().parent.parent / "docs" / "accuracy.md"
UNARY = sorted(name for name in (*m.EXTENDED, *m.SPECIAL) if name not in m.BINARY)
BINARY = ("atan2", "pow")
# Where a function's own difficulties are, beside the exponents of its whole range.
BESIDE = {
    "log": (1.0,), "log2": (1.0,), "log1p": (0.0, -1.0), "acosh": (1.0,), "atanh": (0.0, 1.0, -1.0), "asin": (1.0, -1.0),
    "acos": (1.0, -1.0), "expm1": (0.0,), "erf_inv": (0.0, 1.0, -1.0), "lgamma": (0.5, 1.0, 1.5, 2.0, 7.0),
    "digamma": (1.0, 1.4616321449683622, 2.625, 7.0), "erfc": (0.0, 1.0, 26.5), "erf": (1.0,),
    "exp": (-87.3, -103.9, 88.7, -708.4, -745.1, 709.7), "exp2": (-126.0, -149.0, 128.0, -1022.0, -1074.0, 1024.0),
    "sinh": (88.7, 709.7), "cosh": (88.7, 709.7), "logistic": (-87.3, -103.9, -708.4, -745.1),
    "sin": tuple(k * np.pi for k in (1, 2, 100, 1e5, 333772)), "cos": tuple((k + 0.5) * np.pi for k in (0, 1, 100, 1e5)),
    "tan": tuple(k * np.pi / 2 for k in (1, 2, 101, 1e5)),
}  # fmt: skip
# beside the zeros that both have between negative whole numbers only the absolute error is small, in f8
POSITIVE_ONLY = ("lgamma", "digamma")


def arguments(name: str, dtype: str, count: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Samples of a function's whole range."""
    rng = np.random.default_rng(seed)
    if name in BINARY:
        return m.samples(rng, name, dtype, count // 5)
    info = np.finfo(dtype)
    parts = [
        m.every_exponent(rng, dtype, count // 2),
        rng.uniform(-1, 1, count // 16),
        rng.standard_normal(count // 16) * 30,
    ]
    parts += [rng.uniform(lo, hi, count // 16) for lo, hi in m.RANGES.get(name, ())]
    parts += [rng.integers(1, 1 << info.nmant, count // 32).astype(f"u{dtype[1]}").view(dtype)]  # denormal
    for place in BESIDE.get(name, ()):
        parts += [
            place
            + rng.standard_normal(count // 32)
            * 10.0 ** rng.uniform(-12 if dtype == "f8" else -6, -1, count // 32)
        ]
        parts += [np.float64(place).astype(dtype).view(f"i{dtype[1]}") + np.arange(-40, 41)]
        parts[-1] = parts[-1].astype(f"i{dtype[1]}").view(dtype)
    with np.errstate(all="ignore"):
        x = np.concatenate([part.astype(dtype) for part in parts])
    if name in POSITIVE_ONLY:
        x = np.abs(x) if dtype == "f8" else x[x > -1]
        x = x[x < info.max / 1e4]
    return (x,)


def exact(name: str, x: tuple[np.ndarray, ...], dtype: str) -> np.ndarray:
    """The results in long double, of far more digits than the dtype has."""
    if name not in m.SPECIAL:
        wide = np.float64 if dtype == "f4" and name not in BINARY else np.longdouble
        return np.asarray(m.EXTENDED[name](*[a.astype(wide) for a in x])).astype(np.longdouble)
    if dtype == "f4":
        return m.SPECIAL[name][0](x[0].astype("f8")).astype(np.longdouble)
    with m.mpmath.workdps(32):
        return np.array([_precise(m.SPECIAL[name][1], float(v)) for v in x[0]])


def _precise(f, v: float) -> np.longdouble:
    """f(v) as a sum of two f8: SciPy's answers, NaN and infinity, where mpmath has none."""
    if np.isnan(v):
        return np.longdouble(np.nan)
    try:
        y = f(m.mpmath.mpf(v))
        high = float(y)
        return np.longdouble(high) + (
            np.longdouble(float(y - m.mpmath.mpf(high))) if np.isfinite(high) else 0
        )
    except (ValueError, TypeError, OverflowError):
        return np.longdouble(np.nan)


def worst(name: str, dtype: str, count: int, seed: int = 0) -> tuple[float, tuple[float, ...]]:
    """The largest error where the result is finite, and its arguments."""
    x = arguments(name, dtype, count, seed)
    with np.errstate(all="ignore"):
        result, want = m.compiled(name, dtype)(*x), exact(name, x, dtype)
        error = np.where(np.isfinite(want.astype(dtype)), m.errors(result, want), 0.0)
    k = int(np.argmax(error))
    return float(error[k]), tuple(float(a[k]) for a in x)


def halves(name: str, count: int) -> dict[str, float]:
    """Per half-precision dtype the largest error, in its own units, of f4's result rounded to it. All numbers of the
    dtype are tried for functions of one."""
    out = {}
    for label, dtype in (("bfloat16", dtypes.bfloat16), ("float16", dtypes.float16)):
        if name in BINARY:
            x = tuple(a.astype(dtype).astype("f4") for a in arguments(name, "f4", count))
        else:
            x = (np.arange(1 << 16).astype("u2").view(dtype).astype("f4"),)
            if name in POSITIVE_ONLY:
                x = (x[0][x[0] > -1],)
        with np.errstate(all="ignore"):
            want = exact(name, x, "f4").astype(np.float64)
            got = m.compiled(name, "f4")(*x).astype(dtype).astype(np.float64)
            info = dtypes.finfo(dtype)
            least = float(info.smallest_subnormal)
            unit = np.maximum(
                2.0 ** (np.floor(np.log2(np.maximum(np.abs(want), 1e-300))) - info.nmant), least
            )
            kept = np.isfinite(want) & np.isfinite(want.astype(dtype).astype(np.float64))
            out[label] = float(np.max(np.where(kept, np.abs(got - want) / unit, 0.0)))
    return out


HEAD = """# Accuracy

The largest errors met of the functions that kernels compute in arithmetic of their own, in units in the last place
(0.5 is the best there is), over the whole range wherever the result is finite; `python -m tests.accuracy_table` measures
them again. NaN, infinities, denormal numbers and signed zeros are as in NumPy and SciPy (tests/test_special_values.py).
float64's lgamma and digamma are within these bounds for positive arguments. For negative ones, between whole numbers and
beside their zeros, the absolute error is small: in units in the last place of the result, or of 1 where that is larger,
at most 5 for lgamma and 16 for digamma.

| function | float32 | float64 | float16 | bfloat16 |
|---|--:|--:|--:|--:|
"""
REDUCTIONS = """
Sums of float32 are made of short sums, and the totals of those keep what they round off: whatever the axis, their error
is no larger than that of NumPy's pairwise summation along contiguous rows (tests/test_accuracy.py).

Products of float32, float16 and bfloat16 are taken in float64 and rounded at the end (running ones at every element),
because each factor adds its own rounding, whatever the order. Products of float64 are as exact as NumPy's.
"""


def main() -> None:
    np.seterr(all="ignore")
    lines = []
    for name in sorted((*UNARY, *BINARY)):
        f4, f8 = worst(name, "f4", 1 << 20)[0], worst(name, "f8", 1 << (12 if name in m.SPECIAL else 18))[0]
        half = halves(name, 1 << 14)
        lines.append(f"| {name} | {f4:.2f} | {f8:.2f} | {half['float16']:.2f} | {half['bfloat16']:.2f} |")
        print(lines[-1], flush=True)
    PAGE.write_text(HEAD + "\n".join(lines) + "\n" + REDUCTIONS)


def recorded() -> dict[str, list[float]]:
    """The page's figures: float32, float64, float16, bfloat16."""
    rows = [
        line.strip("| \n").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| ")
    ]
    return {row[0]: [float(cell) for cell in row[1:]] for row in rows if row[0] != "function"}


if __name__ == "__main__":
    sys.exit(main())
