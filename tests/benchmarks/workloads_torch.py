"""The programs in idiomatic PyTorch, on the same inputs, eager or through torch.compile.

An entry takes `c` (`torch.compile`, or the identity for eager) and the inputs, and returns the function to time, or
(function, arguments). A program without an entry has no idiomatic form here; the table leaves its cell empty.
"""

import torch
import torch.nn.functional as F
from torch.func import grad, hessian, jvp, vmap
from torch.utils import _pytree as pytree

TORCH = {}
NOT_COMPILED = {  # nothing to compile, or only the Python loop around a tiny step
    "eager_ops20": "eager by definition",
    "eager_grad20": "eager by definition",
    "fori_scalar": "would unroll 100,000 steps",
    "lorenz_grad": "compiles for minutes",
}
SLOW = {"lorenz_fwd", "lorenz_grad", "hmc", "fori_scalar"}  # Python loops: seconds a call


def prepare(name, args, compiled):
    """(function, arguments, what blocks until ready, what lists leaves)."""
    reason = "no idiomatic form" if name not in TORCH else compiled and NOT_COMPILED.get(name)
    if reason:
        raise NotImplementedError(reason)

    def tensor(a):
        t = torch.tensor(a)
        return t.long() if t.dtype == torch.int32 else t

    args = pytree.tree_map(tensor, args)
    fn = TORCH[name](torch.compile if compiled else lambda f: f, *args)
    fn, args = fn if isinstance(fn, tuple) else (fn, args)
    return fn, args, lambda out: out, pytree.tree_leaves


def define(*names):
    def register(build):
        TORCH.update(dict.fromkeys(names or [build.__name__], build))
        return build

    return register


def gradient(c, f, n=1):
    """The function that returns the gradient of scalar ``f`` in its first ``n`` arguments."""
    f = c(f)

    def run(*args):
        xs = [a.detach().requires_grad_() for a in args[:n]]
        return torch.autograd.grad(f(*xs, *args[n:]), xs)

    return run


def train(c, loss, params, *batch):
    """(step, args): Adam's state lives in the optimizer, so the carried state is empty."""
    opt = torch.optim.Adam([p.requires_grad_() for p in pytree.tree_leaves(params)], lr=1e-3, fused=True)
    loss = c(loss)

    def step(_, *batch):
        opt.zero_grad()
        value = loss(params, *batch)
        value.backward()
        opt.step()
        return None, value.detach()

    return step, (None, *batch)


# -- dispatch


@define()
def dispatch_scalar(c, x):
    return c(lambda x: x + 1)


@define()
def dispatch_tree100(c, p, g):
    return c(lambda p, g: {k: p[k] - 0.1 * g[k] for k in p})


def small_ops(x, w):
    for _ in range(5):
        x = torch.tanh(x @ w * 0.9 + 0.1)
    return x


@define()
def eager_ops20(c, x, w):
    return small_ops


@define()
def eager_grad20(c, x, w):
    return gradient(c, lambda x, w: small_ops(x, w).sum())


@define()
def unroll_500(c, x):
    def f(x):
        for i in range(500):
            x = torch.sin(x) * 0.5 + i * 1e-3
        return x

    return c(f)


# -- elementwise and reductions


def chain(x):
    return F.gelu(x, approximate="tanh") * torch.tanh(x) + torch.exp(-x * x)


@define("chain_fwd_1e3", "chain_fwd_1e7")
def _(c, x):
    return c(chain)


@define("chain_grad_1e3", "chain_grad_1e7")
def _(c, x):
    return gradient(c, lambda x: chain(x).sum())


def softmax_ln(x, g, b):
    return F.softmax(F.layer_norm(x, x.shape[-1:], g, b), -1)


@define()
def softmax_ln_fwd(c, x, g, b):
    return c(softmax_ln)


@define()
def softmax_ln_grad(c, x, g, b, w):
    return gradient(c, lambda x, g, b, w: (w * softmax_ln(x, g, b)).sum(), 3)


@define()
def cumsum_1e6(c, x):
    return c(lambda x: x.cumsum(0))


@define()
def sort_1e6(c, x):
    return c(lambda x: x.sort().values)


@define()
def argsort_1e6(c, x):
    return c(lambda x: x.argsort())


@define()
def onehot_argmax(c, x):
    return c(lambda x: F.one_hot(x.argmax(-1), 1000).sum(0))


@define()
def normal_1e7(c, seed):
    return c(lambda seed: torch.randn(10**7))


# -- linear algebra, gather


@define("matmul_1024", "matmul_batched")
def _(c, a, b):
    return c(lambda a, b: a @ b)


@define()
def matmul_tiny(c, a, b):
    return c(torch.bmm)


@define()
def vector_matrix(c, x, w):
    return c(torch.matmul)


@define()
def one_hot_product_grad(c, w, ids, g):
    return gradient(c, lambda w, ids, g: (g * (F.one_hot(ids, 10).float() @ w)).sum())


@define()
def quantize(c, x):
    def f(x):
        scale = x.abs().amax(1, keepdim=True) / 127
        return (x / scale).round().clamp(-127, 127).to(torch.int8).float() * scale

    return c(f)


@define()
def rotate_points(c, q, v):
    def f(q, v):
        u = q[:, 1:]
        return v + 2 * torch.linalg.cross(u, torch.linalg.cross(u, v) + q[:, :1] * v)

    return c(f)


@define()
def convolve_taps(c, x, w):
    return c(lambda x, w: F.conv1d(x[None, None], w.flip(0)[None, None], padding="same")[0, 0])


@define()
def dense_epilogue(c, x, w, b, y):
    return c(lambda x, w, b, y: F.gelu(torch.addmm(b, x, w), approximate="tanh") + y)


@define()
def column_statistics(c, x):
    return c(lambda x: (x.mean(0), x.var(0, correction=0), x.max(0).values))


@define()
def top_k(c, x):
    return c(lambda x: x.topk(20).values)


@define()
def cholesky_batched(c, a):
    eye = 32.0 * torch.eye(32)
    return c(lambda a: torch.linalg.cholesky(a @ a.mT + eye))


@define()
def attention_grad(c, q, k, v):
    return gradient(
        c, lambda q, k, v: (F.scaled_dot_product_attention(q, k, v, is_causal=True) ** 2).sum(), 3
    )


@define()
def adam_100_leaves(c, state, g):
    params = [p.requires_grad_() for p in state[0]]
    opt = torch.optim.Adam(params, lr=1e-3, fused=True)
    for p, each in zip(params, g, strict=True):
        p.grad = each

    def step(_, g):
        first = params[0].detach().sum()
        opt.step()
        return None, first

    return step, (None, g)


@define()
def embedding_grad(c, table, ids, w):
    return gradient(c, lambda table, ids, w: (w * F.embedding(ids, table) ** 2).sum())


# -- training


def linear(p, x):
    return F.linear(x, p["w"].T, p["b"])


def mlp_loss(params, x, y):
    for p in params[:-1]:
        x = F.relu(linear(p, x))
    return F.cross_entropy(linear(params[-1], x), y)


@define()
def mlp_train(c, state, x, y):
    return train(c, mlp_loss, state[0], x, y)


@define()
def per_example_grad(c, params, x, y):
    return c(vmap(grad(mlp_loss), (None, 0, 0)))


@define()
def hvp_mlp(c, params, v, x, y):
    return c(lambda p, v, x, y: jvp(grad(lambda p: mlp_loss(p, x, y)), (p,), (v,))[1])


def channels_last(params):
    """HWIO convolution weights to OIHW, stored channels last."""
    return {
        k: v.permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)
        if getattr(v, "ndim", 0) == 4
        else v
        for k, v in params.items()
    }


@define()
def lenet_train(c, state, x, y):
    def loss(p, x, y):
        x = F.max_pool2d(F.relu(F.conv2d(x, p["c1"], padding=2)), 2)
        x = F.max_pool2d(F.relu(F.conv2d(x, p["c2"])), 2)
        x = F.relu(linear(p["d1"], x.permute(0, 2, 3, 1).flatten(1)))
        return F.cross_entropy(linear(p["d3"], F.relu(linear(p["d2"], x))), y)

    return train(c, loss, channels_last(state[0]), x.permute(0, 3, 1, 2), y)


@define()
def resblock_train(c, state, x, y):
    def conv_bn(p, i, x):
        x = F.conv2d(x, p[f"c{i}"], padding=1)
        return F.batch_norm(x, None, None, p[f"g{i}"], p[f"b{i}"], training=True)

    def loss(p, x, y):
        x = F.relu(conv_bn(p, 0, x))
        x = F.relu(x + conv_bn(p, 2, F.relu(conv_bn(p, 1, x))))
        return F.cross_entropy(linear(p["out"], F.max_pool2d(x, 2).mean((2, 3))), y)

    return train(c, loss, channels_last(state[0]), x.permute(0, 3, 1, 2), y)


@define()
def lstm_train(c, state, xs, y):
    p = state[0]
    rnn = torch.nn.LSTM(*p["wh"].shape[:1], p["wh"].shape[0])
    rnn.load_state_dict(
        {
            "weight_ih_l0": p["wx"].T,
            "weight_hh_l0": p["wh"].T,
            "bias_ih_l0": p["b"],
            "bias_hh_l0": torch.zeros_like(p["b"]),
        }
    )
    rnn.bias_hh_l0.requires_grad_(False)
    params = {"out": p["out"], **{k: v for k, v in rnn.named_parameters() if v.requires_grad}}
    return train(c, lambda p, xs, y: F.cross_entropy(linear(p["out"], rnn(xs)[0][-1]), y), params, xs, y)


@define()
def transformer_train(c, state, ids, targets, heads=4):
    def norm(p, x):
        return F.layer_norm(x, x.shape[-1:], p["g"], p["b"])

    def attention(p, x):
        q, k, v = (a.unflatten(-1, (heads, -1)).transpose(1, 2) for a in linear(p["qkv"], x).chunk(3, -1))
        x = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return linear(p["proj"], x.transpose(1, 2).flatten(-2))

    def loss(p, ids, targets):
        x = F.embedding(ids, p["tok"]) + p["pos"]
        for layer in p["layers"]:
            x = x + attention(layer, norm(layer["ln1"], x))
            up = linear(layer["up"], norm(layer["ln2"], x))
            x = x + linear(layer["down"], F.gelu(up, approximate="tanh"))
        return F.cross_entropy(linear(p["out"], norm(p["ln"], x)).flatten(0, 1), targets.flatten())

    return train(c, loss, state[0], ids, targets)


# -- loops and scientific code
# Loops run in Python; torch.compile gets the loop's body.


def lorenz(c, steps=10_000, dt=1e-4):
    def field(p, y):
        return torch.stack([p[0] * (y[1] - y[0]), y[0] * (p[1] - y[2]) - y[1], y[0] * y[1] - p[2] * y[2]])

    def step(p, y):
        k1 = field(p, y)
        k2 = field(p, y + dt / 2 * k1)
        k3 = field(p, y + dt / 2 * k2)
        k4 = field(p, y + dt * k3)
        return y + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

    step = c(step)

    def run(p, y):
        ys = []
        for _ in range(steps):
            y = step(p, y)
            ys.append(y)
        return torch.stack(ys)

    return run


@define()
def lorenz_fwd(c, p, y):
    return lorenz(c)


@define()
def lorenz_grad(c, p, y):
    f = lorenz(c)
    return gradient(lambda f: f, lambda p, y: (f(p, y) ** 2).mean())


@define()
def fori_scalar(c, x):
    def f(x):
        for _ in range(100_000):
            x = x * 0.999 + 0.001
        return x

    return f


@define()
def mandelbrot_fori(c, cx, cy):
    def body(x, y, n, cx, cy):
        inside = x * x + y * y <= 4
        return (
            torch.where(inside, x * x - y * y + cx, x),
            torch.where(inside, 2 * x * y + cy, y),
            n + inside,
        )

    body = c(body)

    def f(cx, cy):
        x, y, n = torch.zeros_like(cx), torch.zeros_like(cx), torch.zeros_like(cx, dtype=torch.int32)
        for _ in range(100):
            x, y, n = body(x, y, n, cx, cy)
        return n

    return f


def logistic_nll(w, x, y):
    z = x @ w
    return (F.softplus(z) - y * z).sum() + 0.5 * (w * w).sum()


@define()
def hessian_logistic(c, w, x, y):
    return c(hessian(logistic_nll))


@define()
def hmc(c, seed, w, x, y, draws=1000, leapfrog=16, eps=0.05):
    force = c(grad(logistic_nll))

    def leap(w, p, x, y):
        p = p - eps / 2 * force(w, x, y)
        w = w + eps * p
        return w, p - eps / 2 * force(w, x, y)

    def run(seed, w, x, y):
        torch.manual_seed(seed)
        out = []
        for _ in range(draws):
            p0 = p = torch.randn_like(w)
            w1 = w
            for _ in range(leapfrog):
                w1, p = leap(w1, p, x, y)
            delta = logistic_nll(w, x, y) - logistic_nll(w1, x, y) + 0.5 * (p0 * p0 - p * p).sum()
            w = torch.where(torch.rand(()).log() < delta, w1, w)
            out.append(w)
        return torch.stack(out)

    return run
