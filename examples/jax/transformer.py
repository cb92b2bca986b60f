"""A transformer that learns to reverse sequences and then writes them, one token at a time, with a cache of keys and values
and sampling among the likeliest tokens."""

import json

import jax
import jax.numpy as jnp
from jax import lax, nn, random

VOCAB, LENGTH, WIDTH, HEADS, LAYERS = 12, 6, 32, 4, 2
TOTAL = 2 * LENGTH + 1
STOP = VOCAB - 1


def init(key):
    keys = iter(random.split(key, 3 + 4 * LAYERS))
    weight = lambda *shape: random.normal(next(keys), shape) * 0.15
    return {
        "tokens": weight(VOCAB, WIDTH),
        "places": weight(TOTAL, WIDTH),
        "out": weight(WIDTH, VOCAB),
        "layers": [
            {
                "qkv": weight(WIDTH, 3 * WIDTH),
                "mix": weight(WIDTH, WIDTH),
                "up": weight(WIDTH, 4 * WIDTH),
                "down": weight(4 * WIDTH, WIDTH),
                "scale": jnp.ones((2, WIDTH)),
            }
            for _ in range(LAYERS)
        ],
    }


def normed(x, scale):
    return (x - x.mean(-1, keepdims=True)) * lax.rsqrt(x.var(-1, keepdims=True) + 1e-5) * scale


def heads(x):
    return x.reshape(*x.shape[:-1], HEADS, WIDTH // HEADS)


def attend(q, k, v, mask):
    scores = jnp.einsum("qhd,khd->hqk", q, k) / jnp.sqrt(WIDTH / HEADS)
    weights = nn.softmax(jnp.where(mask, scores, -1e9), axis=-1)
    return jnp.einsum("hqk,khd->qhd", weights, v).reshape(q.shape[0], WIDTH)


def block(layer, x, attention):
    q, k, v = map(heads, jnp.split(normed(x, layer["scale"][0]) @ layer["qkv"], 3, axis=-1))
    mixed, kept = attention(q, k, v)
    x = x + mixed @ layer["mix"]
    return x + nn.gelu(normed(x, layer["scale"][1]) @ layer["up"]) @ layer["down"], kept


def logits_of(params, tokens):
    x = params["tokens"][tokens] + params["places"][: len(tokens)]
    mask = jnp.tril(jnp.ones((len(tokens), len(tokens)), bool))
    for layer in params["layers"]:
        x, _ = block(layer, x, lambda q, k, v: (attend(q, k, v, mask), None))
    return x @ params["out"]


def loss(params, batch):
    log_p = nn.log_softmax(jax.vmap(logits_of, (None, 0))(params, batch[:, :-1]))
    chosen = jnp.take_along_axis(log_p, batch[:, 1:, None], -1)[..., 0]
    return -chosen[:, LENGTH:].mean()


def examples(key, count):
    words = random.randint(key, (count, LENGTH), 0, STOP)
    return jnp.concatenate([words, jnp.full((count, 1), STOP), words[:, ::-1]], 1)


def step_with_cache(params, caches, place, token):
    """Logits after one more token; caches: for each layer keys and values of all places."""
    x = (params["tokens"][token] + params["places"][place])[None]
    new = []
    for layer, (keys, values) in zip(params["layers"], caches):

        def attention(q, k, v, keys=keys, values=values):
            keys = lax.dynamic_update_slice(keys, k, (place, 0, 0))
            values = lax.dynamic_update_slice(values, v, (place, 0, 0))
            return attend(q, keys, values, jnp.arange(TOTAL) <= place), (keys, values)

        x, kept = block(layer, x, attention)
        new.append(kept)
    return new, (x @ params["out"])[0]


@jax.jit
def write(params, key, words):
    """The prompt goes into the cache, then tokens are drawn from the three likeliest."""
    empty = jnp.zeros((TOTAL, HEADS, WIDTH // HEADS))
    caches = [(empty, empty) for _ in range(LAYERS)]
    prompt = jnp.concatenate([words, jnp.array([STOP])])

    def read(caches, given):
        return step_with_cache(params, caches, *given)

    caches, logits = lax.scan(read, caches, (jnp.arange(LENGTH + 1), prompt))

    def draw(carry, given):
        caches, logits = carry
        place, key = given
        best, index = lax.top_k(logits, 3)
        token = index[random.categorical(key, best / 0.5)]
        return step_with_cache(params, caches, place, token), token

    places = LENGTH + 1 + jnp.arange(LENGTH)
    return lax.scan(draw, (caches, logits[-1]), (places, random.split(key, LENGTH)))[1]


def main():
    key = random.PRNGKey(0)
    params = init(key)
    moments = jax.tree.map(jnp.zeros_like, params)

    @jax.jit
    def step(params, moments, key):
        value, grads = jax.value_and_grad(loss)(params, examples(key, 32))
        moments = jax.tree.map(lambda m, g: 0.9 * m + g, moments, grads)
        return jax.tree.map(lambda p, m: p - 0.05 * m, params, moments), moments, value

    values = []
    for i in range(40):
        params, moments, value = step(params, moments, random.fold_in(key, i))
        values.append(float(value))
    words = examples(random.fold_in(key, 999), 4)[:, :LENGTH]
    written = jax.vmap(write, (None, 0, 0))(params, random.split(key, 4), words)
    whole = logits_of(params, examples(key, 1)[0, :-1])
    return {
        "first": values[0],
        "last": values[-1],
        "logits": float(jnp.abs(whole).mean()),
        "written": int(written[0, 0]),
        "shape": list(written.shape),
    }


if __name__ == "__main__":
    print(json.dumps(main()))
