"""Programs over arrays: calls, elementwise chains, reductions, sorting, random numbers, products, gathers."""

import numpy as np
from workloads import f32, labels, program

# -- what a call costs


@program(lambda r: (np.float32(1.0),))
def dispatch_scalar(F):
    return F.jit(lambda x: x + 1)


@program(lambda r: tuple({f"p{i}": f32(r, 8, 8) for i in range(100)} for _ in range(2)))
def dispatch_tree100(F):
    return F.jit(lambda p, g: F.tree.map(lambda p, g: p - 0.1 * g, p, g))


def small_ops(F, x, w):
    for _ in range(5):
        x = F.jnp.tanh(x @ w * 0.9 + 0.1)
    return x


@program(lambda r: (f32(r, 32, 32), f32(r, 32, 32, scale=0.2)))
def eager_ops20(F):
    return lambda x, w: small_ops(F, x, w)


@program(lambda r: (f32(r, 32, 32), f32(r, 32, 32, scale=0.2)))
def eager_grad20(F):
    return F.grad(lambda x, w: F.jnp.sum(small_ops(F, x, w)))


@program(lambda r: (f32(r, 256),))
def unroll_500(F):
    """500 unrolled steps of three operations: how tracing and compilation scale."""

    def f(x):
        for i in range(500):
            x = F.jnp.sin(x) * 0.5 + i * 1e-3
        return x

    return F.jit(f)


# -- elementwise and reductions


def chain(F, x):
    return F.nn.gelu(x) * F.jnp.tanh(x) + F.jnp.exp(-x * x)


for _name, _size in (("1e3", 10**3), ("1e7", 10**7)):
    program(lambda r, n=_size: (f32(r, n),), f"chain_fwd_{_name}", quick=_size < 10**6)(
        lambda F: F.jit(lambda x: chain(F, x))
    )
    program(lambda r, n=_size: (f32(r, n),), f"chain_grad_{_name}", quick=_size < 10**6)(
        lambda F: F.jit(F.grad(lambda x: F.jnp.sum(chain(F, x))))
    )


def layernorm(F, x, g, b):
    mu = F.jnp.mean(x, -1, keepdims=True)
    var = F.jnp.mean((x - mu) ** 2, -1, keepdims=True)
    return (x - mu) * F.lax.rsqrt(var + 1e-5) * g + b


def softmax_ln(F, x, g, b):
    return F.nn.softmax(layernorm(F, x, g, b), -1)


def ln_inputs(r):
    return f32(r, 4096, 1024), 1 + f32(r, 1024, scale=0.1), f32(r, 1024, scale=0.1)


@program(ln_inputs)
def softmax_ln_fwd(F):
    return F.jit(lambda x, g, b: softmax_ln(F, x, g, b))


@program(lambda r: (*ln_inputs(r), f32(r, 4096, 1024)))
def softmax_ln_grad(F):
    return F.jit(F.grad(lambda x, g, b, w: F.jnp.sum(w * softmax_ln(F, x, g, b)), (0, 1, 2)))


@program(lambda r: (f32(r, 1024, 1024),))
def quantize(F):
    """To 8 bits and back, by the largest of each row."""

    def f(x):
        scale = F.jnp.max(F.jnp.abs(x), 1, keepdims=True) / 127
        return F.jnp.clip(F.jnp.round(x / scale), -127, 127).astype(F.jnp.int8).astype(F.jnp.float32) * scale

    return F.jit(f)


@program(lambda r: (f32(r, 50_000, 4), f32(r, 50_000, 3)))
def rotate_points(F):
    """Points by quaternions: rows of three and four numbers."""

    def f(q, v):
        u = q[:, 1:]
        return v + 2 * F.jnp.cross(u, F.jnp.cross(u, v) + q[:, :1] * v)

    return F.jit(f)


@program(lambda r: (f32(r, 1000, 1000),))
def reflect_sobel(F):
    """An image with reflected borders, its gradient's size, and that seen from the other axis."""

    def f(u):
        p = F.jnp.pad(u, 1, mode="reflect")
        x = p[:-2, :-2] + 2 * p[1:-1, :-2] + p[2:, :-2] - p[:-2, 2:] - 2 * p[1:-1, 2:] - p[2:, 2:]
        y = p[:-2, :-2] + 2 * p[:-2, 1:-1] + p[:-2, 2:] - p[2:, :-2] - 2 * p[2:, 1:-1] - p[2:, 2:]
        return F.jnp.sqrt(x * x + y * y).T

    return F.jit(f)


@program(lambda r: (f32(r, 100_000), f32(r, 64)))
def convolve_taps(F):
    return F.jit(lambda x, w: F.jnp.convolve(x, w, mode="same"))


@program(lambda r: (f32(r, 8192, 512),))
def column_statistics(F):
    """Mean, variance and maximum of every column: reductions over the leading axis."""
    return F.jit(lambda x: (F.jnp.mean(x, 0), F.jnp.var(x, 0), F.jnp.max(x, 0)))


@program(lambda r: (f32(r, 10**6),))
def cumsum_1e6(F):
    return F.jit(F.jnp.cumsum)


@program(lambda r: (f32(r, 10**6),))
def sort_1e6(F):
    return F.jit(F.jnp.sort)


@program(lambda r: (f32(r, 10**6),))
def argsort_1e6(F):
    return F.jit(F.jnp.argsort)


@program(lambda r: (f32(r, 256, 10_000),))
def top_k(F):
    return F.jit(lambda x: F.lax.top_k(x, 20)[0])


@program(lambda r: (f32(r, 8192, 1000),))
def onehot_argmax(F):
    return F.jit(lambda x: F.jnp.sum(F.nn.one_hot(F.jnp.argmax(x, -1), 1000), 0))


@program(lambda r: (np.int32(0),), random=True, quick=False)
def normal_1e7(F):
    return F.jit(lambda seed: F.random.normal(F.random.key(seed), (10**7,)))


# -- linear algebra, gathers


@program(lambda r: (f32(r, 1024, 1024), f32(r, 1024, 1024)))
def matmul_1024(F):
    return F.jit(lambda a, b: a @ b)


@program(lambda r: (f32(r, 32, 256, 256), f32(r, 32, 256, 256)))
def matmul_batched(F):
    return F.jit(lambda a, b: a @ b)


@program(lambda r: (f32(r, 10_000, 8, 8), f32(r, 10_000, 8, 8)))
def matmul_tiny(F):
    """Ten thousand products of 8 x 8."""
    return F.jit(lambda a, b: a @ b)


@program(lambda r: (f32(r, 4096), f32(r, 4096, 4096)))
def vector_matrix(F):
    """A vector times a matrix by rows: a column reduction at the speed of memory."""
    return F.jit(lambda x, w: x @ w)


@program(lambda r: (f32(r, 10, 512), labels(r, 65536), f32(r, 65536, 512)))
def one_hot_product_grad(F):
    """The gradient of a product with a one-hot matrix: sums of rows by class."""
    return F.jit(F.grad(lambda w, ids, g: F.jnp.sum(g * (F.nn.one_hot(ids, 10) @ w))))


@program(lambda r: (f32(r, 1024, 512), f32(r, 512, 1024), f32(r, 1024), f32(r, 1024, 1024)))
def dense_epilogue(F):
    """A product whose bias, activation and residual belong to its store."""
    return F.jit(lambda x, w, b, y: F.nn.gelu(x @ w + b) + y)


@program(lambda r: (f32(r, 10_000, 128), labels(r, 8192, classes=10_000), f32(r, 8192, 128)))
def embedding_grad(F):
    return F.jit(F.grad(lambda table, ids, w: F.jnp.sum(w * table[ids] ** 2)))


@program(lambda r: (f32(r, 200, 32, 32),))
def cholesky_batched(F):
    def f(a):
        return F.jnp.linalg.cholesky(a @ F.jnp.swapaxes(a, -1, -2) + 32.0 * F.jnp.eye(32))

    return F.jit(f)
