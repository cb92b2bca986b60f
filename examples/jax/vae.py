"""A variational autoencoder on drawn shapes (Kingma and Welling, 2014), trained with Adam written here."""

import json

import jax
import jax.numpy as jnp
from jax import lax, nn, random

SIDE, HIDDEN, LATENT = 12, 64, 4


def draw(key, count):
    """Images of filled ellipses."""
    centres, radii = random.uniform(key, (2, count, 2))
    y, x = jnp.meshgrid(jnp.arange(SIDE), jnp.arange(SIDE), indexing="ij")
    place = jnp.stack([y, x], -1)[None] - SIDE * (0.3 + 0.4 * centres[:, None, None])
    inside = jnp.sum((place / (SIDE * (0.15 + 0.2 * radii[:, None, None]))) ** 2, -1) < 1
    return inside.reshape(count, -1).astype(jnp.float32)


def dense(key, inputs, outputs):
    return {"w": nn.initializers.glorot_normal()(key, (inputs, outputs)), "b": jnp.zeros(outputs)}


def init(key):
    keys = random.split(key, 4)
    return {
        "encode": [dense(keys[0], SIDE * SIDE, HIDDEN), dense(keys[1], HIDDEN, 2 * LATENT)],
        "decode": [dense(keys[2], LATENT, HIDDEN), dense(keys[3], HIDDEN, SIDE * SIDE)],
    }


def apply(layers, x):
    x = nn.relu(x @ layers[0]["w"] + layers[0]["b"])
    return x @ layers[1]["w"] + layers[1]["b"]


def loss(params, key, images):
    """The negative evidence lower bound, a mean over images."""
    mean, log_var = jnp.split(apply(params["encode"], images), 2, axis=-1)
    z = mean + jnp.exp(0.5 * log_var) * random.normal(key, mean.shape)
    logits = apply(params["decode"], z)
    likelihood = jnp.sum(images * logits - nn.softplus(logits), -1)
    divergence = 0.5 * jnp.sum(jnp.exp(log_var) + mean**2 - 1 - log_var, -1)
    return jnp.mean(divergence - likelihood)


def adam(params, grads, state, rate=3e-3, b1=0.9, b2=0.999):
    m, v, t = state
    t = t + 1
    m = jax.tree.map(lambda a, g: b1 * a + (1 - b1) * g, m, grads)
    v = jax.tree.map(lambda a, g: b2 * a + (1 - b2) * g * g, v, grads)
    scale = rate * jnp.sqrt(1 - b2**t) / (1 - b1**t)
    return jax.tree.map(lambda p, a, b: p - scale * a / (jnp.sqrt(b) + 1e-8), params, m, v), (m, v, t)


@jax.jit
def epoch(carry, key, batches):
    def step(carry, given):
        params, state = carry
        value, grads = jax.value_and_grad(loss)(params, *given)
        return adam(params, grads, state), value

    return lax.scan(step, carry, (random.split(key, batches.shape[0]), batches))


def main():
    key = random.PRNGKey(0)
    images = draw(key, 512).reshape(8, 64, -1)
    params = init(random.fold_in(key, 1))
    zeros = jax.tree.map(jnp.zeros_like, params)
    carry, losses = (params, (zeros, zeros, 0.0)), []
    for i in range(20):
        carry, values = epoch(carry, random.fold_in(key, 2 + i), images)
        losses.append(float(values.mean()))
    samples = nn.sigmoid(apply(carry[0]["decode"], random.normal(key, (16, LATENT))))
    return {"first": losses[0], "last": losses[-1], "ink": float(samples.mean())}


if __name__ == "__main__":
    print(json.dumps(main()))
