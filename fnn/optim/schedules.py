"""Learning rates as functions of the step number, which may be a traced int32 scalar.

>>> rate = cosine_decay_schedule(1.0, 10)
>>> print(rate(0), rate(5), rate(20))
1.0 0.49999997 0.0
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fnn import dtypes
from fnn import numpy as fnp
from fnn.core.source import describe, here
from fnn.errors import ArgumentError
from fnn.optim.base import Schedule


def _steps(count: Any) -> Any:
    return fnp.asarray(count).astype(dtypes.default_float())


def constant_schedule(value: Any) -> Schedule:
    """The same value at every step."""
    return lambda count: value


def linear_schedule(
    init_value: Any, end_value: Any, transition_steps: int, transition_begin: int = 0
) -> Schedule:
    """From init_value to end_value on a straight line, and constant after."""
    _positive("linear_schedule", transition_steps)

    def schedule(count: Any) -> Any:
        done = fnp.clip(_steps(count) - transition_begin, 0, transition_steps)
        return (init_value - end_value) * (1 - done / transition_steps) + end_value

    return schedule


def exponential_decay(
    init_value: Any, transition_steps: int, decay_rate: Any, staircase: bool = False, end_value: Any = None
) -> Schedule:
    """init_value decay_rate^(count / transition_steps); staircase: by whole powers; end_value: the limit."""
    _positive("exponential_decay", transition_steps)

    def schedule(count: Any) -> Any:
        power = _steps(count) / transition_steps
        value = init_value * decay_rate ** (fnp.floor(power) if staircase else power)
        if end_value is None:
            return value
        return (fnp.maximum if decay_rate < 1 else fnp.minimum)(value, end_value)

    return schedule


def cosine_decay_schedule(
    init_value: Any, decay_steps: int, alpha: Any = 0.0, exponent: Any = 1.0
) -> Schedule:
    """From init_value to alpha init_value along half a cosine (Loshchilov and Hutter 2017)."""
    _positive("cosine_decay_schedule", decay_steps)

    def schedule(count: Any) -> Any:
        part = fnp.minimum(_steps(count), decay_steps) / decay_steps
        cosine = 0.5 * (1 + fnp.cos(np.float32(math.pi) * part))
        return init_value * ((1 - alpha) * cosine**exponent + alpha)

    return schedule


def warmup_cosine_decay_schedule(
    init_value: Any, peak_value: Any, warmup_steps: int, decay_steps: int, end_value: Any = 0.0
) -> Schedule:
    """Linear from init_value to peak_value in warmup_steps, then a cosine to end_value at decay_steps in all."""
    rise = linear_schedule(init_value, peak_value, warmup_steps)
    fall = cosine_decay_schedule(
        peak_value, decay_steps - warmup_steps, end_value / peak_value if peak_value else 0.0
    )

    def schedule(count: Any) -> Any:
        step = _steps(count)
        return fnp.where(step < warmup_steps, rise(step), fall(step - warmup_steps))

    return schedule


def _positive(name: str, steps: int) -> None:
    if steps <= 0:
        raise ArgumentError(
            f"optim.{name} needs a positive number of steps, not {steps}, at {describe(here())}"
        )
