"""Training steps and other derivatives of models."""

import itertools

import numpy as np
from workloads import adam_state, dense, f32, labels, program
from workloads_arrays import layernorm


def adam_update(F, p, m, v, t, g, lr=1e-3, b1=0.9, b2=0.999, eps=1e-8):
    t = t + 1
    m = F.tree.map(lambda m, g: b1 * m + (1 - b1) * g, m, g)
    v = F.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, v, g)
    c1, c2 = 1 - b1**t, 1 - b2**t
    p = F.tree.map(lambda p, m, v: p - lr * (m / c1) / (F.jnp.sqrt(v / c2) + eps), p, m, v)
    return p, m, v, t


def train(F, loss):
    def step(state, *batch):
        value, g = F.value_and_grad(loss)(state[0], *batch)
        return adam_update(F, *state, g), value

    return F.jit(step)


def linear(p, x):
    return x @ p["w"] + p["b"]


def cross_entropy(F, logits, y):
    return -F.jnp.mean(F.jnp.take_along_axis(F.nn.log_softmax(logits), y[..., None], -1))


def mlp_loss(F, params, x, y):
    for p in params[:-1]:
        x = F.nn.relu(linear(p, x))
    return cross_entropy(F, linear(params[-1], x), y)


def mlp_inputs(r, sizes=(784, 512, 512, 10), batch=128):
    return [dense(r, *s) for s in itertools.pairwise(sizes)], f32(r, batch, 784), labels(r, batch)


def mlp_train_inputs(r):
    params, x, y = mlp_inputs(r)
    return adam_state(params), x, y


@program(mlp_train_inputs, carries=True)
def mlp_train(F):
    return train(F, lambda p, x, y: mlp_loss(F, p, x, y))


@program(
    lambda r: (adam_state([f32(r, 64, 64) for _ in range(100)]), [f32(r, 64, 64) for _ in range(100)]),
    carries=True,
)
def adam_100_leaves(F):
    """An optimiser's update over a hundred leaves."""
    return F.jit(lambda state, g: (adam_update(F, *state, g), F.jnp.sum(state[0][0])))


@program(lambda r: mlp_inputs(r, (784, 128, 10), 64))
def per_example_grad(F):
    return F.jit(F.vmap(F.grad(lambda p, x, y: mlp_loss(F, p, x, y)), (None, 0, 0)))


def hvp_inputs(r):
    params, x, y = mlp_inputs(r)
    return params, [{k: f32(r, *v.shape) for k, v in p.items()} for p in params], x, y


@program(hvp_inputs)
def hvp_mlp(F):
    def hvp(p, v, x, y):
        return F.jvp(F.grad(lambda p: mlp_loss(F, p, x, y)), (p,), (v,))[1]

    return F.jit(hvp)


def conv(F, x, w, padding="SAME"):
    return F.lax.conv_general_dilated(x, w, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def max_pool(F, x):
    return F.lax.reduce_window(x, -F.jnp.inf, F.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def conv_weight(r, h, w, i, o):
    return f32(r, h, w, i, o, scale=(h * w * i / 2) ** -0.5)


def lenet_inputs(r):
    params = {
        "c1": conv_weight(r, 5, 5, 1, 6), "c2": conv_weight(r, 5, 5, 6, 16),
        "d1": dense(r, 400, 120), "d2": dense(r, 120, 84), "d3": dense(r, 84, 10),
    }  # fmt: skip
    return adam_state(params), f32(r, 64, 28, 28, 1), labels(r, 64)


@program(lenet_inputs, carries=True)
def lenet_train(F):
    def loss(p, x, y):
        x = max_pool(F, F.nn.relu(conv(F, x, p["c1"])))
        x = max_pool(F, F.nn.relu(conv(F, x, p["c2"], "VALID")))
        x = F.nn.relu(linear(p["d1"], x.reshape(x.shape[0], -1)))
        return cross_entropy(F, linear(p["d3"], F.nn.relu(linear(p["d2"], x))), y)

    return train(F, loss)


def resnet_inputs(r):
    params = {
        "c0": conv_weight(r, 3, 3, 3, 64), "c1": conv_weight(r, 3, 3, 64, 64),
        "c2": conv_weight(r, 3, 3, 64, 64), "out": dense(r, 64, 10),
    }  # fmt: skip
    for i in range(3):
        params[f"g{i}"], params[f"b{i}"] = np.ones(64, np.float32), np.zeros(64, np.float32)
    return adam_state(params), f32(r, 32, 32, 32, 3), labels(r, 32)


@program(resnet_inputs, carries=True, quick=False)
def resblock_train(F):
    def conv_bn(p, i, x):
        x = conv(F, x, p[f"c{i}"])
        mu = F.jnp.mean(x, (0, 1, 2))
        var = F.jnp.mean((x - mu) ** 2, (0, 1, 2))
        return (x - mu) * F.lax.rsqrt(var + 1e-5) * p[f"g{i}"] + p[f"b{i}"]

    def loss(p, x, y):
        x = F.nn.relu(conv_bn(p, 0, x))
        x = F.nn.relu(x + conv_bn(p, 2, F.nn.relu(conv_bn(p, 1, x))))
        x = F.jnp.mean(max_pool(F, x), (1, 2))
        return cross_entropy(F, linear(p["out"], x), y)

    return train(F, loss)


def lstm_inputs(r, steps=128, batch=32, n=128):
    params = {
        "wx": f32(r, n, 4 * n, scale=n**-0.5), "wh": f32(r, n, 4 * n, scale=n**-0.5),
        "b": np.zeros(4 * n, np.float32), "out": dense(r, n, 10),
    }  # fmt: skip
    return adam_state(params), f32(r, steps, batch, n), labels(r, batch)


@program(lstm_inputs, carries=True)
def lstm_train(F):
    def loss(p, xs, y):
        def cell(carry, x):
            h, c = carry
            i, f, g, o = F.jnp.split(x @ p["wx"] + h @ p["wh"] + p["b"], 4, -1)
            c = F.nn.sigmoid(f) * c + F.nn.sigmoid(i) * F.jnp.tanh(g)
            return (F.nn.sigmoid(o) * F.jnp.tanh(c), c), None

        zero = F.jnp.zeros((xs.shape[1], p["wh"].shape[0]), F.jnp.float32)
        (h, _), _ = F.lax.scan(cell, (zero, zero), xs)
        return cross_entropy(F, linear(p["out"], h), y)

    return train(F, loss)


def transformer_inputs(r, layers=4, d=256, t=128, batch=8, vocab=1024):
    def norm():
        return {"g": np.ones(d, np.float32), "b": np.zeros(d, np.float32)}

    params = {
        "tok": f32(r, vocab, d, scale=0.02), "pos": f32(r, t, d, scale=0.02),
        "ln": norm(), "out": dense(r, d, vocab),
        "layers": [
            {"ln1": norm(), "qkv": dense(r, d, 3 * d), "proj": dense(r, d, d),
             "ln2": norm(), "up": dense(r, d, 4 * d), "down": dense(r, 4 * d, d)}
            for _ in range(layers)
        ],
    }  # fmt: skip
    ids = labels(r, batch, t + 1, classes=vocab)
    return adam_state(params), ids[:, :-1], ids[:, 1:]


def causal_attention(F, q, k, v):
    """Of (batch, heads, positions, features)."""
    t = q.shape[-2]
    scores = F.jnp.einsum("nhqd,nhkd->nhqk", q, k) * q.shape[-1] ** -0.5
    mask = F.jnp.arange(t)[:, None] >= F.jnp.arange(t)
    weights = F.nn.softmax(F.jnp.where(mask, scores, -1e30), -1)
    return F.jnp.einsum("nhqk,nhkd->nhqd", weights, v)


@program(transformer_inputs, carries=True, quick=False)
def transformer_train(F, heads=4):
    def norm(p, x):
        return layernorm(F, x, p["g"], p["b"])

    def attention(p, x):
        n, t, d = x.shape
        q, k, v = (
            a.reshape(n, t, heads, -1).transpose(0, 2, 1, 3) for a in F.jnp.split(linear(p["qkv"], x), 3, -1)
        )
        x = causal_attention(F, q, k, v)
        return linear(p["proj"], x.transpose(0, 2, 1, 3).reshape(n, t, d))

    def loss(p, ids, targets):
        x = p["tok"][ids] + p["pos"]
        for layer in p["layers"]:
            x = x + attention(layer, norm(layer["ln1"], x))
            x = x + linear(layer["down"], F.nn.gelu(linear(layer["up"], norm(layer["ln2"], x))))
        return cross_entropy(F, linear(p["out"], norm(p["ln"], x)), targets)

    return train(F, loss)


@program(lambda r: tuple(f32(r, 2, 8, 1024, 64) for _ in range(3)))
def attention_grad(F):
    """Causal attention over 1,024 positions, written by hand, and its derivatives."""
    return F.jit(F.grad(lambda q, k, v: F.jnp.sum(causal_attention(F, q, k, v) ** 2), (0, 1, 2)))
