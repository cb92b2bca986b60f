"""Random numbers from keys: counter-based Threefry-2x32 (Salmon et al. 2011), with JAX's conventions and
bits.

A key is a value; using it twice gives the same numbers, so split it.

>>> import fnn
>>> key = fnn.random.key(0)
>>> key, use = fnn.random.split(key)
>>> fnn.random.uniform(use, (3,)).shape
(3,)
"""

from fnn.random.choosing import categorical, choice, permutation, shuffle
from fnn.random.distributions import (
    bernoulli,
    cauchy,
    exponential,
    gumbel,
    laplace,
    logistic,
    normal,
    rademacher,
    truncated_normal,
)
from fnn.random.keys import PRNGKey, bits, clone, fold_in, key, key_data, key_impl, split, wrap_key_data
from fnn.random.uniforms import randint, uniform

__all__ = [
    "PRNGKey",
    "bernoulli",
    "bits",
    "categorical",
    "cauchy",
    "choice",
    "clone",
    "exponential",
    "fold_in",
    "gumbel",
    "key",
    "key_data",
    "key_impl",
    "laplace",
    "logistic",
    "normal",
    "permutation",
    "rademacher",
    "randint",
    "shuffle",
    "split",
    "truncated_normal",
    "uniform",
    "wrap_key_data",
]
