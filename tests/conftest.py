"""What every test shares: a kernel cache of its own, seeded randomness and the Hypothesis profiles."""

import os
import shutil
import tempfile
import zlib

import hypothesis
import numpy as np
import pytest

# Derandomised, so that a run says the same twice; HYPOTHESIS_PROFILE=explore looks further than that.
hypothesis.settings.register_profile(
    "repeatable",
    derandomize=True,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile(
    "explore", parent=hypothesis.settings.get_profile("repeatable"), derandomize=False, max_examples=1000
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

CACHE_VARIABLE = "FNN_CACHE_DIR"
_made_here = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Point the kernel cache at a temporary directory before any module of fnn is imported.

    A cache directory named by the caller is respected. Under pytest-xdist the workers inherit the
    controller's environment, so that they share one cache.
    """
    # Tests draw from one key again and again, and say so where that is what they test.
    os.environ.setdefault("FNN_DEBUG_KEY_REUSE", "off")
    if CACHE_VARIABLE not in os.environ:
        directory = tempfile.mkdtemp(prefix="fnn-test-cache-")
        os.environ[CACHE_VARIABLE] = directory
        config.stash[_made_here] = directory


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the cache directory that this process made."""
    directory = config.stash.get(_made_here, None)
    if directory is not None:
        os.environ.pop(CACHE_VARIABLE, None)
        shutil.rmtree(directory, ignore_errors=True)


_counted: list[list[int]] = []  # primitives, samples and checks made, from every worker


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error) -> None:
    """A worker of pytest-xdist is done: keep what it counted."""
    counts = getattr(node, "workeroutput", {}).get("primitives")
    if counts:
        _counted.append(counts)


def pytest_terminal_summary(terminalreporter) -> None:
    """How many primitives were checked, where workers did it (a plain run prints more)."""
    if _counted:
        primitives, samples, checks = _counted[0][0], _counted[0][1], sum(c[2] for c in _counted)
        terminalreporter.write_line(f"primitives: {primitives}, samples: {samples}, checks made: {checks}")


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A seed that depends on the test's name alone: the same in every run, another in every test."""
    return zlib.crc32(request.node.nodeid.encode())


@pytest.fixture
def rng(seed: int) -> np.random.Generator:
    """A NumPy generator seeded by the test's name."""
    return np.random.default_rng(seed)
