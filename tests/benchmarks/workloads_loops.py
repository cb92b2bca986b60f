"""Compiled loops and scientific code."""

import numpy as np
from workloads import f32, program


def lorenz(F, params, y0, steps=10_000, dt=1e-4):
    def field(y):
        return F.jnp.stack([
            params[0] * (y[1] - y[0]), y[0] * (params[1] - y[2]) - y[1], y[0] * y[1] - params[2] * y[2]
        ])  # fmt: skip

    def step(y, _):
        k1 = field(y)
        k2 = field(y + dt / 2 * k1)
        k3 = field(y + dt / 2 * k2)
        k4 = field(y + dt * k3)
        y = y + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return y, y

    return F.lax.scan(step, y0, None, length=steps)[1]


def lorenz_inputs(r):
    return np.array([10, 28, 8 / 3], np.float32), np.ones(3, np.float32)


@program(lorenz_inputs)
def lorenz_fwd(F):
    return F.jit(lambda p, y: lorenz(F, p, y))


@program(lorenz_inputs)
def lorenz_grad(F):
    return F.jit(F.grad(lambda p, y: F.jnp.mean(lorenz(F, p, y) ** 2)))


@program(lambda r: (np.float32(2.0),))
def fori_scalar(F):
    """100,000 rounds of one multiply-add: the cost of the loop itself."""
    return F.jit(lambda x: F.lax.fori_loop(0, 100_000, lambda i, x: x * 0.999 + 0.001, x))


def plane(r, n=512):
    x, y = np.meshgrid(np.linspace(-2, 1, n), np.linspace(-1.5, 1.5, n))
    return x.astype(np.float32), y.astype(np.float32)


@program(plane)
def mandelbrot_fori(F):
    def f(cx, cy):
        def body(_, s):
            x, y, n = s
            inside = x * x + y * y <= 4
            x, y = F.jnp.where(inside, x * x - y * y + cx, x), F.jnp.where(inside, 2 * x * y + cy, y)
            return x, y, n + F.jnp.where(inside, 1, 0)

        zero = F.jnp.zeros_like(cx)
        return F.lax.fori_loop(0, 100, body, (zero, zero, F.jnp.zeros(cx.shape, F.jnp.int32)))[2]

    return F.jit(f)


@program(plane)
def mandelbrot_while(F):
    def point(cx, cy):
        def cond(s):
            x, y, n = s
            return (x * x + y * y <= 4) & (n < 100)

        def body(s):
            x, y, n = s
            return x * x - y * y + cx, 2 * x * y + cy, n + 1

        return F.lax.while_loop(cond, body, (F.jnp.float32(0), F.jnp.float32(0), F.jnp.int32(0)))[2]

    return F.jit(F.vmap(F.vmap(point)))


def logistic_nll(F, w, x, y):
    z = x @ w
    return F.jnp.sum(F.jnp.logaddexp(0.0, z) - y * z) + 0.5 * F.jnp.sum(w * w)


def logistic_inputs(r, n, d):
    x, w = f32(r, n, d), f32(r, d)
    return f32(r, d, scale=0.1), x, (x @ w + r.logistic(size=n) > 0).astype(np.float32)


@program(lambda r: logistic_inputs(r, 500, 50))
def hessian_logistic(F):
    return F.jit(F.hessian(lambda w, x, y: logistic_nll(F, w, x, y)))


@program(lambda r: (np.int32(0), *logistic_inputs(r, 200, 20)), random=True, quick=False)
def hmc(F, draws=1000, leapfrog=16, eps=0.05):
    def run(seed, w, x, y):
        def potential(w):
            return logistic_nll(F, w, x, y)

        force = F.grad(potential)

        def draw(w, key):
            k1, k2 = F.random.split(key)
            p0 = F.random.normal(k1, w.shape)

            def leap(s, _):
                w, p = s
                p = p - eps / 2 * force(w)
                w = w + eps * p
                return (w, p - eps / 2 * force(w)), None

            (w1, p1), _ = F.lax.scan(leap, (w, p0), None, length=leapfrog)
            delta = potential(w) - potential(w1) + 0.5 * F.jnp.sum(p0 * p0 - p1 * p1)
            w = F.jnp.where(F.jnp.log(F.random.uniform(k2)) < delta, w1, w)
            return w, w

        return F.lax.scan(draw, w, F.random.split(F.random.key(seed), draws))[1]

    return F.jit(run)


def kalman_inputs(r, n=4, steps=2000):
    return 0.9 * np.eye(n, dtype=np.float32) + f32(r, n, n, scale=0.02), f32(r, n, n), f32(r, steps, n)


@program(kalman_inputs)
def kalman_scan(F):
    """A filter over 2,000 observations: products of 4 x 4 matrices inside a scan."""

    def f(a, c, ys):
        eye = F.jnp.eye(4)

        def step(s, y):
            m, p = s
            m, p = a @ m, a @ p @ a.T + 0.1 * eye
            gain = p @ c.T / (F.jnp.trace(c @ p @ c.T) + 1.0)
            m = m + gain @ (y - c @ m)
            return (m, (eye - gain @ c) @ p), m

        return F.lax.scan(step, (F.jnp.zeros(4), eye), ys)[1]

    return F.jit(f)


@program(lambda r: (np.arange(1, 100_001, dtype=np.int32),))
def collatz_while(F):
    """Steps of the Collatz map to 1, below 300: loops of unequal length side by side."""

    def steps(n):
        def body(s):
            n, k = s
            return F.jnp.where(n % 2 == 0, n // 2, F.jnp.minimum(3 * n + 1, 2**29)), k + 1

        return F.lax.while_loop(lambda s: (s[0] != 1) & (s[1] < 300), body, (n, F.jnp.int32(0)))[1]

    return F.jit(F.vmap(steps))
