"""fnn.optim: gradient transformations and optimisers over pytrees, in optax's contract."""

from fnn.lazy import names as _names

with _names(globals()):
    from fnn.optim.base import (
        EmptyState,
        GradientTransformation,
        Schedule,
        ScheduleState,
        add_decayed_weights,
        apply_updates,
        chain,
        clip_by_global_norm,
        global_norm,
        identity,
        scale,
        scale_by_learning_rate,
        scale_by_schedule,
        stateless,
    )
    from fnn.optim.optimizers import (
        AdamState,
        RmsState,
        TraceState,
        adam,
        adamw,
        momentum,
        rmsprop,
        scale_by_adam,
        scale_by_rms,
        sgd,
        trace,
    )
    from fnn.optim.schedules import (
        constant_schedule,
        cosine_decay_schedule,
        exponential_decay,
        linear_schedule,
        warmup_cosine_decay_schedule,
    )

__all__ = [
    "AdamState",
    "EmptyState",
    "GradientTransformation",
    "RmsState",
    "Schedule",
    "ScheduleState",
    "TraceState",
    "adam",
    "adamw",
    "add_decayed_weights",
    "apply_updates",
    "chain",
    "clip_by_global_norm",
    "constant_schedule",
    "cosine_decay_schedule",
    "exponential_decay",
    "global_norm",
    "identity",
    "linear_schedule",
    "momentum",
    "rmsprop",
    "scale",
    "scale_by_adam",
    "scale_by_learning_rate",
    "scale_by_rms",
    "scale_by_schedule",
    "sgd",
    "stateless",
    "trace",
    "warmup_cosine_decay_schedule",
]
