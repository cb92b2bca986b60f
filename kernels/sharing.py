"""How the tiles of a kernel are handed out to threads: from its cost alone, never from the number of threads."""

from __future__ import annotations

# The cost model of threads, in nanoseconds, measured on a 2-core Zen 4: a launch costs 0.5 µs if the workers
# are awake and about 8 µs if they sleep, so a kernel is shared from SHARED on, in pieces of PIECE (taking one
# costs about 50 ns), but in no more than MOST pieces.
SHARED = 10_000
PIECE = 5_000
MOST = 64


def chunk(cost: float, tiles: int, unit: int) -> int:
    """How many tiles a thread takes at a time: a multiple of unit; 0: one thread does all.

    >>> chunk(1_000, 64, 1), chunk(40_000, 64, 1), chunk(1e9, 1_000_000, 64)
    (0, 8, 15680)
    """
    if cost < SHARED or tiles < 2:
        return 0
    pieces = min(max(2, int(cost) // PIECE), MOST)
    share = -(-tiles // pieces)
    return -(-share // unit) * unit


def pieces(cost: float, tiles: int) -> int:
    """How many pieces that makes."""
    share = chunk(cost, tiles, 1)
    return -(-tiles // share) if share else 1
