"""Twenty of optax's optimisers train the same small network on scanned digits. Needs `pip install --no-deps optax` and
scikit-learn."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

OPTIMIZERS = {
    "adabelief": lambda: optax.adabelief(1e-2),
    "adadelta": lambda: optax.adadelta(1.0),
    "adagrad": lambda: optax.adagrad(0.1),
    "adam": lambda: optax.adam(optax.cosine_decay_schedule(1e-2, 30)),
    "adamax": lambda: optax.adamax(1e-2),
    "adamw": lambda: optax.adamw(optax.warmup_cosine_decay_schedule(0.0, 1e-2, 5, 30)),
    "adan": lambda: optax.adan(1e-2),
    "amsgrad": lambda: optax.amsgrad(1e-2),
    "clipped sgd": lambda: optax.chain(
        optax.clip_by_global_norm(0.5), optax.sgd(0.5, momentum=0.9, nesterov=True)
    ),
    "fromage": lambda: optax.fromage(1e-2),
    "lamb": lambda: optax.lamb(1e-2),
    "lars": lambda: optax.lars(1.0),
    "lion": lambda: optax.lion(1e-3),
    "lookahead": lambda: optax.lookahead(optax.sgd(0.1), 5, 0.5),
    "nadam": lambda: optax.nadam(1e-2),
    "noisy_sgd": lambda: optax.noisy_sgd(0.1, key=0),
    "novograd": lambda: optax.novograd(1e-2),
    "radam": lambda: optax.radam(1e-2),
    "rmsprop": lambda: optax.rmsprop(1e-2, momentum=0.9, centered=True),
    "rprop": lambda: optax.rprop(1e-3),
    "sm3": lambda: optax.sm3(0.1),
    "yogi": lambda: optax.yogi(1e-2),
}


def init(key):
    k1, k2 = jax.random.split(key)
    glorot = jax.nn.initializers.glorot_uniform()
    return {"w1": glorot(k1, (64, 32)), "b1": jnp.zeros(32), "w2": glorot(k2, (32, 10)), "b2": jnp.zeros(10)}


def loss(params, x, y):
    logits = jax.nn.tanh(x @ params["w1"] + params["b1"]) @ params["w2"] + params["b2"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()


def train(optimizer, x, y, steps=10):
    params = init(jax.random.PRNGKey(0))
    slow = isinstance(optimizer.init(params), optax.LookaheadState)
    params = optax.LookaheadParams.init_synced(params) if slow else params
    state = optimizer.init(params)

    @jax.jit
    def step(params, state, x, y):
        value, grads = jax.value_and_grad(loss)(params.fast if slow else params, x, y)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state, value

    for i in range(steps):
        part = slice(64 * i, 64 * (i + 1))
        params, state, value = step(params, state, x[part], y[part])
    return float(value), float(sum(jnp.abs(p).sum() for p in jax.tree.leaves(params)))


def main():
    scans, digits = load_digits(return_X_y=True)
    x, y = jnp.asarray((scans / 16).astype(np.float32)), jnp.asarray(digits.astype(np.int32))
    return {name: train(make(), x, y) for name, make in OPTIMIZERS.items()}


if __name__ == "__main__":
    print(json.dumps(main()))
