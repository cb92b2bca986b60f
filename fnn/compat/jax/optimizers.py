"""`jax.example_libraries.optimizers`: each optimiser is three functions (init, update, get_params), and a step size is a
number or a function of the step's number. In new programs, use `fnn.optim`.

>>> opt_init, opt_update, get_params = momentum(0.1, mass=0.9)
>>> state = opt_init({"w": fnp.ones(2)})
>>> state = opt_update(0, {"w": fnp.ones(2)}, state)
>>> print(get_params(state)["w"])
[0.9 0.9]
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import fnn.numpy as fnp
from fnn import tree
from fnn.errors import TreeError

Schedule = Callable[[Any], Any]

__all__ = [
    "Optimizer", "OptimizerState", "adagrad", "adam", "adamax", "clip_grads", "constant", "exponential_decay",
    "inverse_time_decay", "l2_norm", "make_schedule", "momentum", "nesterov", "optimizer", "pack_optimizer_state",
    "piecewise_constant", "polynomial_decay", "rmsprop", "rmsprop_momentum", "sgd", "sm3", "unpack_optimizer_state",
]  # fmt: skip


class OptimizerState(NamedTuple):
    """What an optimiser keeps: for each parameter, its value and the running numbers, by one tree."""

    packed_state: tuple[tuple[Any, ...], ...]
    tree_def: Any
    subtree_defs: tuple[Any, ...]


class Optimizer(NamedTuple):
    """`init_fn(params)`, `update_fn(step, grads, state)`, `params_fn(state)`."""

    init_fn: Callable[[Any], OptimizerState]
    update_fn: Callable[[Any, Any, OptimizerState], OptimizerState]
    params_fn: Callable[[OptimizerState], Any]


tree.register_pytree_node(
    OptimizerState,
    lambda state: ((state.packed_state,), (state.tree_def, state.subtree_defs)),
    lambda static, children: OptimizerState(*children, *static),
)


def optimizer(maker: Callable[..., tuple[Callable, Callable, Callable]]) -> Callable[..., Optimizer]:
    """Makes an optimiser of parameter trees from one of single arrays."""

    @functools.wraps(maker)
    def tree_maker(*args: Any, **kwargs: Any) -> Optimizer:
        init, update, get_params = maker(*args, **kwargs)

        def tree_init(params: Any) -> OptimizerState:
            leaves, structure = tree.flatten(params)
            states = [tree.flatten(init(leaf)) for leaf in leaves]
            return OptimizerState(tuple(tuple(s) for s, _ in states), structure, tuple(d for _, d in states))

        def tree_update(i: Any, grads: Any, state: OptimizerState) -> OptimizerState:
            leaves, structure = tree.flatten(grads)
            if structure != state.tree_def:
                raise TreeError(
                    f"the optimiser was made for parameters of the structure {state.tree_def}; the gradients have "
                    f"{structure}"
                )
            new = []
            for leaf, packed, d in zip(leaves, state.packed_state, state.subtree_defs, strict=True):
                new.append(tree.flatten(update(i, leaf, tree.unflatten(d, packed))))
            for (_, d), before in zip(new, state.subtree_defs, strict=True):
                if d != before:
                    raise TreeError(f"the update changed a state's structure from {before} to {d}")
            return state._replace(packed_state=tuple(tuple(s) for s, _ in new))

        def tree_params(state: OptimizerState) -> Any:
            states = map(tree.unflatten, state.subtree_defs, state.packed_state)
            return tree.unflatten(state.tree_def, [get_params(s) for s in states])

        return Optimizer(tree_init, tree_update, tree_params)

    return tree_maker


def make_schedule(scalar_or_schedule: Any) -> Schedule:
    """A step size as a function of the step."""
    if callable(scalar_or_schedule):
        return scalar_or_schedule
    if fnp.ndim(scalar_or_schedule) == 0:
        return constant(scalar_or_schedule)
    raise TypeError(f"a step size is a number or a function of the step, not {scalar_or_schedule!r}")


@optimizer
def sgd(step_size: Any) -> tuple:
    """Gradient descent."""
    rate = make_schedule(step_size)
    return lambda x: x, lambda i, g, x: x - rate(i) * g, lambda x: x


@optimizer
def momentum(step_size: Any, mass: float) -> tuple:
    """Gradient descent with momentum (Polyak, 1964)."""
    rate = make_schedule(step_size)

    def update(i: Any, g: Any, state: Any) -> Any:
        x, velocity = state
        velocity = mass * velocity + g
        return x - rate(i) * velocity, velocity

    return lambda x: (x, fnp.zeros_like(x)), update, lambda state: state[0]


@optimizer
def nesterov(step_size: Any, mass: float) -> tuple:
    """Gradient descent with Nesterov's momentum (1983)."""
    rate = make_schedule(step_size)

    def update(i: Any, g: Any, state: Any) -> Any:
        x, velocity = state
        velocity = mass * velocity + g
        return x - rate(i) * (mass * velocity + g), velocity

    return lambda x: (x, fnp.zeros_like(x)), update, lambda state: state[0]


@optimizer
def adagrad(step_size: Any, momentum: float = 0.9) -> tuple:
    """AdaGrad (Duchi, Hazan, Singer: "Adaptive subgradient methods", 2011), with momentum."""
    rate = make_schedule(step_size)

    def update(i: Any, g: Any, state: Any) -> Any:
        x, squares, m = state
        squares = squares + fnp.square(g)
        scale = fnp.where(squares > 0, 1.0 / fnp.sqrt(squares), 0.0)
        m = (1.0 - momentum) * (g * scale) + momentum * m
        return x - rate(i) * m, squares, m

    return lambda x: (x, fnp.zeros_like(x), fnp.zeros_like(x)), update, lambda state: state[0]


@optimizer
def rmsprop(step_size: Any, gamma: float = 0.9, eps: float = 1e-8) -> tuple:
    """RMSProp (Tieleman and Hinton: "Lecture 6.5", 2012)."""
    rate = make_schedule(step_size)

    def update(i: Any, g: Any, state: Any) -> Any:
        x, squares = state
        squares = squares * gamma + fnp.square(g) * (1.0 - gamma)
        return x - rate(i) * g / fnp.sqrt(squares + eps), squares

    return lambda x: (x, fnp.zeros_like(x)), update, lambda state: state[0]


@optimizer
def rmsprop_momentum(step_size: Any, gamma: float = 0.9, eps: float = 1e-8, momentum: float = 0.9) -> tuple:
    """RMSProp with momentum."""
    rate = make_schedule(step_size)

    def update(i: Any, g: Any, state: Any) -> Any:
        x, squares, m = state
        squares = squares * gamma + fnp.square(g) * (1.0 - gamma)
        m = momentum * m + rate(i) * g / fnp.sqrt(squares + eps)
        return x - m, squares, m

    return lambda x: (x, fnp.zeros_like(x), fnp.zeros_like(x)), update, lambda state: state[0]


@optimizer
def adam(step_size: Any, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> tuple:
    """Adam (Kingma and Ba, 2015)."""
    rate = make_schedule(step_size)

    def update(i: Any, g: Any, state: Any) -> Any:
        x, m, v = state
        m = (1 - b1) * g + b1 * m
        v = (1 - b2) * fnp.square(g) + b2 * v
        mean = m / (1 - fnp.asarray(b1, m.dtype) ** (i + 1))
        square = v / (1 - fnp.asarray(b2, m.dtype) ** (i + 1))
        return x - rate(i) * mean / (fnp.sqrt(square) + eps), m, v

    return lambda x: (x, fnp.zeros_like(x), fnp.zeros_like(x)), update, lambda state: state[0]


@optimizer
def adamax(step_size: Any, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> tuple:
    """AdaMax: Adam with the maximum norm (Kingma and Ba, 2015)."""
    rate = make_schedule(step_size)

    def update(i: Any, g: Any, state: Any) -> Any:
        x, m, v = state
        m = (1 - b1) * g + b1 * m
        v = fnp.maximum(b2 * v, fnp.abs(g))
        return x - (rate(i) / (1 - fnp.asarray(b1, m.dtype) ** (i + 1))) * m / (v + eps), m, v

    return lambda x: (x, fnp.zeros_like(x), fnp.zeros_like(x)), update, lambda state: state[0]


@optimizer
def sm3(step_size: Any, momentum: float = 0.9) -> tuple:
    """SM3 (Anil, Gupta, Koren, Singer: "Memory-efficient adaptive optimization", 2019)."""
    rate = make_schedule(step_size)

    def along(x: Any, axis: int, ndim: int) -> Any:
        return x.reshape([-1 if k == axis else 1 for k in range(ndim)])

    def init(x: Any) -> Any:
        x = fnp.asarray(x)
        return x, fnp.zeros_like(x), [fnp.zeros(n, x.dtype) for n in x.shape]

    def update(i: Any, g: Any, state: Any) -> Any:
        x, m, covers = state
        least = functools.reduce(fnp.minimum, [along(v, k, x.ndim) for k, v in enumerate(covers)])
        squares = least + fnp.square(g)
        scale = fnp.where(squares > 0, 1.0 / fnp.sqrt(squares), 0.0)
        m = (1.0 - momentum) * (g * scale) + momentum * m
        new = [squares.max(tuple(j for j in range(x.ndim) if j != k)) for k in range(x.ndim)]
        return x - rate(i) * m, m, new

    return init, update, lambda state: state[0]


# -- step sizes -------------------------------------------------------------------------------------------------------


def constant(step_size: Any) -> Schedule:
    """The same at each step."""
    return lambda i: step_size


def exponential_decay(step_size: float, decay_steps: float, decay_rate: float) -> Schedule:
    """Times `decay_rate` each `decay_steps` steps."""
    return lambda i: step_size * decay_rate ** (i / decay_steps)


def inverse_time_decay(
    step_size: float, decay_steps: float, decay_rate: float, staircase: bool = False
) -> Schedule:
    """As 1/(1 + rate * steps)."""

    def schedule(i: Any) -> Any:
        passed = i / decay_steps
        return step_size / (1 + decay_rate * (fnp.floor(passed) if staircase else passed))

    return schedule


def polynomial_decay(
    step_size: float, decay_steps: float, final_step_size: float, power: float = 1.0
) -> Schedule:
    """From `step_size` to `final_step_size` over `decay_steps` steps, along a power of what remains."""

    def schedule(step: Any) -> Any:
        remaining = (1 - fnp.minimum(step, decay_steps) / decay_steps) ** power
        return remaining * (step_size - final_step_size) + final_step_size

    return schedule


def piecewise_constant(boundaries: Any, values: Any) -> Schedule:
    """values[k] while k of the boundaries are passed."""
    limits, sizes = fnp.array(boundaries), fnp.array(values)
    if limits.ndim != 1 or sizes.shape != (limits.shape[0] + 1,):
        raise ValueError(
            f"n boundaries and n + 1 values are needed, not arrays of shapes {limits.shape} and {sizes.shape}"
        )
    return lambda i: sizes[fnp.sum(i > limits)]


# -- gradients and states ---------------------------------------------------------------------------------------------


def l2_norm(tree_of_arrays: Any) -> Any:
    """The Euclidean norm of all leaves together."""
    return fnp.sqrt(sum(fnp.vdot(x, x) for x in tree.leaves(tree_of_arrays)))


def clip_grads(grad_tree: Any, max_norm: float) -> Any:
    """Gradients scaled so that their norm is at most `max_norm`."""
    norm = l2_norm(grad_tree)
    return tree.map(lambda g: fnp.where(norm < max_norm, g, g * (max_norm / norm)), grad_tree)


class JoinPoint:
    """Marks the states of single parameters in an unpacked state."""

    def __init__(self, subtree: Any):
        self.subtree = subtree

    def __iter__(self) -> Any:
        yield self.subtree


def unpack_optimizer_state(opt_state: OptimizerState) -> Any:
    """A state as a tree of the parameters' structure whose leaves are `JoinPoint`s, e.g. to pickle it."""
    states = map(tree.unflatten, opt_state.subtree_defs, opt_state.packed_state)
    return tree.unflatten(opt_state.tree_def, [JoinPoint(s) for s in states])


def pack_optimizer_state(marked_pytree: Any) -> OptimizerState:
    """The reverse."""
    leaves, structure = tree.flatten(marked_pytree)
    if not all(isinstance(leaf, JoinPoint) for leaf in leaves):
        raise TreeError(
            "pack_optimizer_state takes what unpack_optimizer_state returned: a tree of JoinPoints"
        )
    states: Sequence[Any] = [tree.flatten(leaf.subtree) for leaf in leaves]
    return OptimizerState(tuple(tuple(s) for s, _ in states), structure, tuple(d for _, d in states))
