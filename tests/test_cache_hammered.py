"""A disk cache that many processes use at once, that is cut short, filled, made read-only or out of space: results stay
right, nothing crashes, and the worst that happens is a warning and a recompile."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{HERE.parent}{os.pathsep}{HERE}", "PYTHONDONTWRITEBYTECODE": "1"}

# Programs of several kernels each, a few of which any two processes share; every result is compared with NumPy's.
USER = """
import sys, warnings, random
import numpy as np
warnings.simplefilter("always")
import fnn, fnn.numpy as fnp
from fnn.kernels import cache
cache._sources = list  # of one mind about the sources, even while someone edits them
first, count, rounds = map(int, sys.argv[1:4])
x = np.linspace(-2, 2, 3000, dtype=np.float32).reshape(30, 100)
order = [first + k for k in range(count)] * rounds
random.Random(first).shuffle(order)
for n in order:
    y = fnn.jit(lambda x, c=1 + n / 8: (fnp.sum(fnp.sin(x * c), 0), fnp.exp(x) @ x.T * c))(x)
    c = np.float32(1 + n / 8)
    np.testing.assert_allclose(y[0], np.sin(x * c).sum(0), 1e-4, 1e-4)
    np.testing.assert_allclose(y[1], np.exp(x) @ x.T * c, 1e-3, 1e-3)
s = cache.statistics()
print("right", s.compiled, s.loaded, s.rejected)
"""


def user(
    folder: Path, first: int, count: int, rounds: int = 1, before: tuple[str, ...] = (), **more: str
) -> subprocess.Popen:
    environment = ENVIRONMENT | {"FNN_CACHE_DIR": str(folder), "FNN_COMPILE_WORKERS": "1"} | more
    command = [*before, sys.executable, "-c", USER, str(first), str(count), str(rounds)]
    return subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def outcome(running: subprocess.Popen) -> tuple[int, int, int, str]:
    """Kernels compiled, loaded and rejected, and what was said on stderr."""
    out, err = running.communicate(timeout=300)
    assert running.returncode == 0, err
    word, *counts = out.split()
    assert word == "right"
    return (*map(int, counts), err)  # type: ignore[return-value]  # three numbers


FULL = pytest.mark.slow


@pytest.mark.parametrize("processes, kills", [(2, 3), pytest.param(8, 50, marks=FULL)])
def test_processes_share_a_small_cache_while_others_are_killed(tmp_path, processes: int, kills: int) -> None:
    """The bound is far below what they write, so that files vanish under their readers all the time."""
    folder, chance = tmp_path / "cache", random.Random(processes)
    victims: list[tuple[subprocess.Popen, float]] = []
    rounds = 2 if kills < 10 else 12
    sharers = [user(folder, 3 * k, 8, rounds, FNN_CACHE_SIZE="60kB") for k in range(processes)]
    killed = 0
    while killed < kills:
        while len(victims) < 2:
            victims.append(
                (user(folder, chance.randrange(20), 8, 10_000), time.monotonic() + chance.uniform(0.3, 2.0))
            )
        for victim, when in list(victims):
            if time.monotonic() > when:
                assert victim.poll() is None, victim.communicate()
                os.killpg(victim.pid, signal.SIGKILL)
                victim.communicate()
                victims.remove((victim, when))
                killed += 1
        time.sleep(0.01)
    for victim, _ in victims:
        os.killpg(victim.pid, signal.SIGKILL)
        victim.communicate()
    for sharer in sharers:
        _, _, rejected, said = outcome(sharer)
        assert rejected == 0 and said == ""
    after = outcome(user(folder, 0, 8))
    assert after[2:] == (0, "")
    again = outcome(user(folder, 0, 8))
    assert again[:1] == (0,) and again[2:] == (0, "")


def test_a_cache_that_someone_scribbles_in_all_the_time(tmp_path) -> None:
    """Truncated, overwritten and swapped files, while processes read them."""
    folder, chance = tmp_path / "cache", random.Random(1)
    outcome(user(folder, 0, 5))
    running = [user(folder, k, 5, 2) for k in range(2)]
    while any(process.poll() is None for process in running):
        files = [path for path in folder.rglob("*") if path.is_file()]
        for path in chance.sample(files, min(5, len(files))):
            try:
                data = path.read_bytes()
                cut = chance.randrange(len(data) + 1)
                path.write_bytes(
                    chance.choice([data[:cut], data[:cut] + os.urandom(8) + data[cut + 8 :], b""])
                )
            except OSError:
                pass
        time.sleep(0.02)
    for process in running:
        _, _, _, said = outcome(process)
        assert "Error" not in said


# A file system of the test's own: in name spaces that end with the process.
MOUNTS = {
    "full": 'mount -t tmpfs -o size=24k none {0} && exec "$@"',
    "read-only": 'mount --bind {0} {0} && mount -o remount,ro,bind {0} && exec "$@"',
}


def may_mount() -> bool:
    tool = shutil.which("unshare")
    return tool is not None and not subprocess.run([tool, "-rm", "true"], capture_output=True).returncode


@pytest.mark.skipif(not may_mount(), reason="name spaces are not permitted here")
@pytest.mark.parametrize("kind", MOUNTS)
def test_a_disk_that_is_full_or_read_only(tmp_path, kind: str) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    outcome(user(folder, 0, 2))
    before = ("unshare", "-rm", "sh", "-c", MOUNTS[kind].format(folder), "sh")
    running = [user(folder, k, 4, before=before) for k in range(2)]
    for process in running:
        compiled, loaded, rejected, said = outcome(process)
        assert compiled > 0 and rejected == 0
        assert said.count("CacheWarning") == 1, said
        assert (loaded > 0) == (kind == "read-only")
    # outside of it nothing has changed
    compiled, loaded, rejected, said = outcome(user(folder, 0, 2))
    assert (compiled, rejected, said) == (0, 0, "") and loaded > 0


@pytest.mark.skipif(not may_mount(), reason="name spaces are not permitted here")
def test_a_disk_that_is_full_from_the_start(tmp_path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    fill = f'mount -t tmpfs -o size=8k none {folder} && head -c 9000 /dev/zero > {folder}/x; exec "$@"'
    _, _, _, said = outcome(user(folder, 0, 3, before=("unshare", "-rm", "sh", "-c", fill, "sh")))
    assert said.count("CacheWarning") == 1
