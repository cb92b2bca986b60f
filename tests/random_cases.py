"""What random numbers are compared with: the same draws by JAX, recorded in tests/data/random_numbers.npz.

`python -m tests.random_cases` records them anew; it needs JAX (`pip install fnn[bench]`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fnn import dtypes

RECORD = Path(__file__).parent / "data" / "random_numbers.npz"
SEEDS = (0, 42, 2**31 - 1)
SHAPES = ((), (5,), (3, 7), (2, 0, 3), (129,))
FLOATS = ("float32", "float64", "float16", "bfloat16")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
P = np.array([0.1, 0.0, 0.4, 0.2, 0.3], np.float32)
LOGITS = np.log(np.array([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]], np.float32))
TABLE = np.arange(24, dtype=np.float32).reshape(6, 4)

Case = Callable[[Any, Any], Any]  # (a module like jax.random, a key) -> an array


def _cases() -> dict[str, Case]:
    cases: dict[str, Case] = {
        "key_data": lambda r, k: r.key_data(k),
        "split": lambda r, k: r.key_data(r.split(k)),
        "split_3x2": lambda r, k: r.key_data(r.split(k, (3, 2))),
        "fold_in": lambda r, k: r.key_data(r.fold_in(k, 77)),
        "raw_split": lambda r, k: r.split(r.key_data(k), 5),
    }
    for shape in SHAPES:
        at = "x".join(map(str, shape)) or "scalar"
        for width in (8, 16, 32, 64):
            cases[f"bits_uint{width}_{at}"] = lambda r, k, s=shape, w=width: r.bits(k, s, f"uint{w}")
        for t in FLOATS:
            cases[f"uniform_{t}_{at}"] = lambda r, k, s=shape, t=t: r.uniform(k, s, t)
            cases[f"normal_{t}_{at}"] = lambda r, k, s=shape, t=t: r.normal(k, s, t)
        cases[f"uniform_between_{at}"] = lambda r, k, s=shape: r.uniform(k, s, "float32", -3.0, 2.5)
        cases[f"bernoulli_{at}"] = lambda r, k, s=shape: r.bernoulli(k, 0.3, s)
        for name in ("gumbel", "exponential", "laplace", "cauchy", "logistic"):
            cases[f"{name}_{at}"] = lambda r, k, s=shape, n=name: getattr(r, n)(k, s, "float32")
        cases[f"rademacher_{at}"] = lambda r, k, s=shape: r.rademacher(k, s, "int32")
        cases[f"truncated_{at}"] = lambda r, k, s=shape: r.truncated_normal(k, -2.0, 2.0, s, "float32")
    for t in INTEGERS:
        least, most = int(np.iinfo(t).min), min(int(np.iinfo(t).max), 2**63 - 1)
        spans = [(0, 10), (3, 3), (5, 2), (least, most), (0, 100), (max(least, -5), 7)]
        spans += [(least, most + 1)] if most < 2**32 else []
        for low, high in spans:
            cases[f"randint_{t}_{low}_{high}"] = lambda r, k, t=t, lo=low, hi=high: r.randint(
                k, (11,), lo, hi, t
            )
    bounds = np.array([[0], [5]], np.int32), np.array([3, 9, 100], np.int32)
    cases["randint_bounds"] = lambda r, k: r.randint(k, (2, 3), *bounds, "int32")
    cases["truncated_bounds"] = lambda r, k: r.truncated_normal(
        k, np.zeros((2, 1), np.float32), np.float32(0.5), (2, 3), "float32"
    )
    cases["bernoulli_array"] = lambda r, k: r.bernoulli(k, P, (4, 5))
    cases["permutation"] = lambda r, k: r.permutation(k, TABLE)
    cases["permutation_axis"] = lambda r, k: r.permutation(k, TABLE, axis=1)
    cases["permutation_independent"] = lambda r, k: r.permutation(k, TABLE, axis=1, independent=True)
    cases["permutation_vector"] = lambda r, k: r.permutation(k, TABLE[:, 0])
    cases["permutation_long"] = lambda r, k: r.permutation(k, np.arange(2000, dtype=np.int32))
    cases["choice_table"] = lambda r, k: r.choice(k, TABLE, (2, 3))
    cases["choice_axis"] = lambda r, k: r.choice(k, TABLE, (3,), axis=1)
    cases["choice_once"] = lambda r, k: r.choice(k, TABLE, (4,), replace=False)
    cases["choice_p_table"] = lambda r, k: r.choice(k, TABLE[:5], (7,), p=P)
    cases["choice_p_once_table"] = lambda r, k: r.choice(k, TABLE[:5], (3,), replace=False, p=P)
    cases["permutation_9"] = lambda r, k: r.permutation(k, 9)
    cases["choice_10"] = lambda r, k: r.choice(k, 10, (7,))
    cases["choice_10_once"] = lambda r, k: r.choice(k, 10, (7,), replace=False)
    cases["choice_p"] = lambda r, k: r.choice(k, 5, (4, 3), p=P)
    cases["choice_p_once"] = lambda r, k: r.choice(k, 5, (3,), replace=False, p=P)
    cases["categorical"] = lambda r, k: r.categorical(k, LOGITS)
    cases["categorical_shape"] = lambda r, k: r.categorical(k, LOGITS, shape=(4, 2))
    cases["categorical_axis"] = lambda r, k: r.categorical(k, LOGITS, axis=0)
    return cases | shaped()


SHAPE = np.array([0.1, 0.5, 1.0, 2.5, 30.0], np.float32)
COUNTS = np.array([5, 10, 100, 0, 1000], np.int32)
CHANCES = np.array([0.1, 0.5, 0.9, 0.3, 0.02], np.float32)
COV = 2 * np.eye(3, dtype=np.float32) + np.float32(0.5)


def shaped() -> dict[str, Case]:
    """Distributions with parameters."""
    mean = np.arange(3, dtype=np.float32)
    cases: dict[str, Case] = {
        "gamma": lambda r, k: r.gamma(k, SHAPE, (20, 5), "float32"),
        "gamma_float64": lambda r, k: r.gamma(k, 2.0, (7,), "float64"),
        "loggamma": lambda r, k: r.loggamma(k, SHAPE * np.float32(0.01), (20, 5), "float32"),
        "beta": lambda r, k: r.beta(k, SHAPE, np.float32(2.0), (3, 5), "float32"),
        "dirichlet": lambda r, k: r.dirichlet(k, SHAPE, (4,), "float32"),
        "chisquare": lambda r, k: r.chisquare(k, SHAPE, (4, 5), "float32"),
        "f": lambda r, k: r.f(k, np.float32(5.0), np.float32(3.0), (), "float32"),
        "t": lambda r, k: r.t(k, SHAPE, (4, 5), "float32"),
        "t_alone": lambda r, k: r.t(k, SHAPE, dtype="float32"),
        "generalized_normal": lambda r, k: r.generalized_normal(k, 1.5, (7,), "float32"),
        "ball": lambda r, k: r.ball(k, 3, shape=(4,), dtype="float32"),
        "ball_1": lambda r, k: r.ball(k, 2, 1.0, (4,), "float32"),
        "poisson": lambda r, k: r.poisson(k, SHAPE * np.float32(5), (9, 5), "int32"),
        "poisson_small": lambda r, k: r.poisson(k, np.float32(3.0), (50,), "int32"),
        "poisson_great": lambda r, k: r.poisson(k, np.float32(100.0), (50,), "int32"),
        "binomial": lambda r, k: r.binomial(k, COUNTS, CHANCES, (6, 5), "float32"),
        "binomial_bad": lambda r, k: r.binomial(
            k,
            np.array([-1, 5, np.inf, 2.5], np.float32),
            np.array([0.5, np.nan, 0.5, 0.5], np.float32),
            None,
            "float32",
        ),
        "multinomial": lambda r, k: r.multinomial(
            k, np.float32(20), CHANCES / CHANCES.sum(), dtype="float32"
        ),
        "geometric": lambda r, k: r.geometric(k, CHANCES, (5, 5), "int32"),
        "lognormal": lambda r, k: r.lognormal(k, CHANCES, (3, 5), "float32"),
        "maxwell": lambda r, k: r.maxwell(k, (5,), "float32"),
        "double_sided_maxwell": lambda r, k: r.double_sided_maxwell(k, np.float32(1), SHAPE, (2,), "float32"),
        "pareto": lambda r, k: r.pareto(k, SHAPE + np.float32(1), (3, 5), "float32"),
        "rayleigh": lambda r, k: r.rayleigh(k, SHAPE, (3, 5), "float32"),
        "triangular": lambda r, k: r.triangular(k, -1.0, 0.5, 2.0, (9,), "float32"),
        "wald": lambda r, k: r.wald(k, SHAPE[:4], (3, 4), "float32"),
        "weibull_min": lambda r, k: r.weibull_min(k, 2.0, 1.5, (9,), "float32"),
        "orthogonal": lambda r, k: r.orthogonal(k, 4, (), "float32"),
        "orthogonal_wide": lambda r, k: r.orthogonal(k, 2, (3,), "float32", 4),
        "multivariate_normal": lambda r, k: r.multivariate_normal(k, mean, COV, (4,), "float32"),
        "multivariate_normal_batch": lambda r, k: r.multivariate_normal(
            k, np.stack([mean, -mean]), COV[None]
        ),
    }
    return cases


CASES = _cases()


def stored(x: Any) -> np.ndarray:
    """An array as it is stored: bfloat16, which .npz does not know, as its bits."""
    value = np.asarray(x)
    return value.view(np.uint16) if value.dtype == dtypes.bfloat16 else value


def restored(x: np.ndarray, name: str) -> np.ndarray:
    return x.view(dtypes.bfloat16) if "bfloat16" in name else x


def record() -> None:
    import jax  # pyright: ignore[reportMissingImports]  # needed only to record the values anew

    found = {}
    for name, case in CASES.items():
        jax.config.update(
            "jax_enable_x64", "64" in name or name.startswith("randint")
        )  # JAX needs it for wide types
        found[name] = np.stack([stored(case(jax.random, jax.random.key(seed))) for seed in SEEDS])
    RECORD.parent.mkdir(exist_ok=True)
    np.savez_compressed(RECORD, **found)
    print(f"{len(found)} arrays in {RECORD}, {RECORD.stat().st_size} bytes, from JAX {jax.__version__}")


if __name__ == "__main__":
    record()
