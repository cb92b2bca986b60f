"""fnn.nn: activations, normalisation, initial values and layers.

>>> import fnn
>>> model = fnn.nn.MLP(2, 1, width=8, depth=1, key=fnn.random.key(0))
>>> fnn.tree.map(lambda p: p.shape, fnn.tree.leaves(model))
[(2, 8), (8,), (8, 1), (1,)]
"""

from fnn.lazy import names as _names

with _names(globals()):
    from fnn.nn import initializers
    from fnn.nn.activations import (
        celu,
        elu,
        gelu,
        glu,
        hard_sigmoid,
        hard_silu,
        hard_swish,
        hard_tanh,
        identity,
        leaky_relu,
        log1mexp,
        log_sigmoid,
        mish,
        one_hot,
        relu,
        relu6,
        selu,
        sigmoid,
        silu,
        soft_sign,
        softplus,
        sparse_plus,
        sparse_sigmoid,
        squareplus,
        swish,
        tanh,
    )
    from fnn.nn.attention import dot_product_attention
    from fnn.nn.layers import MLP, Linear, Sequential
    from fnn.nn.normalisation import log_softmax, logmeanexp, logsumexp, softmax, standardize

__all__ = [
    "MLP",
    "Linear",
    "Sequential",
    "celu",
    "dot_product_attention",
    "elu",
    "gelu",
    "glu",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "identity",
    "initializers",
    "leaky_relu",
    "log1mexp",
    "log_sigmoid",
    "log_softmax",
    "logmeanexp",
    "logsumexp",
    "mish",
    "one_hot",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_sign",
    "softmax",
    "softplus",
    "sparse_plus",
    "sparse_sigmoid",
    "squareplus",
    "standardize",
    "swish",
    "tanh",
]
