"""Running combinations of long lines: cut into pieces, they keep their order and the signs of zeros."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fnn
import fnn.numpy as fnp
from fnn import lax
from fnn.primitives.cumulative import LONG, PIECES

ROOT = Path(__file__).resolve().parent.parent
LENGTHS = (1, 7, 1023, LONG - 1, LONG, LONG + 1, PIECES * 3000 + 7)


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("reverse", [False, True])
def test_long_lines_against_numpy(n: int, reverse: bool) -> None:
    rng = np.random.default_rng(n)
    x = rng.integers(-1000, 1000, n).astype(np.int32)
    f = x.astype(np.float32)
    turn = slice(None, None, -1 if reverse else 1)
    for ours, theirs, value in (
        (lax.cumsum, np.cumsum, x),
        (lax.cummax, np.maximum.accumulate, f),
        (lax.cummin, np.minimum.accumulate, x),
    ):
        got = fnn.jit(lambda v, ours=ours: ours(v, reverse=reverse))(value)
        np.testing.assert_array_equal(np.asarray(got), theirs(value[turn])[turn].astype(value.dtype))


def test_sums_of_what_is_not_negative_never_fall() -> None:
    x = np.random.default_rng(0).random(300_001).astype(np.float32) ** 8
    sums = np.asarray(fnn.jit(fnp.cumsum)(x))
    assert (np.diff(sums) >= 0).all()
    np.testing.assert_allclose(sums, np.cumsum(x.astype(np.float64)), rtol=2e-6)


def test_the_sign_of_zeros_stays() -> None:
    for n in (5, LONG):
        sums = np.asarray(fnn.jit(fnp.cumsum)(np.full(n, -0.0, np.float32)))
        assert np.signbit(sums).all()


def test_nan_and_infinities_go_on_to_the_end() -> None:
    x = np.zeros(LONG, np.float32)
    x[LONG // 3], x[LONG // 2] = np.inf, np.nan
    for ours, theirs in ((lax.cumsum, np.cumsum), (lax.cummax, np.maximum.accumulate)):
        np.testing.assert_array_equal(np.asarray(fnn.jit(ours)(x)), theirs(x))
    logs = np.asarray(fnn.jit(lax.cumlogsumexp)(np.full(LONG, -np.inf, np.float32)))
    assert (logs == -np.inf).all()


def test_results_do_not_depend_on_the_threads() -> None:
    script = (
        "import hashlib, numpy as np, fnn, fnn.numpy as fnp\n"
        "from fnn import lax\n"
        "x = np.random.default_rng(0).standard_normal(200_003).astype(np.float32)\n"
        "out = fnn.jit(lambda x: (fnp.cumsum(x), fnp.cumprod(1 + x / 1e3), lax.cumlogsumexp(x)))(x)\n"
        "print(*[hashlib.sha256(np.asarray(a).tobytes()).hexdigest() for a in out])\n"
    )
    seen = set()
    for threads in ("1", "2", "4"):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "FNN_NUM_THREADS": threads}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        seen.add(done.stdout)
    assert len(seen) == 1
