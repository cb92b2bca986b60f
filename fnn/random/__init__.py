"""Random numbers from keys: counter-based Threefry-2x32 (Salmon et al. 2011), with JAX's conventions and
bits.

A key is a value; using it twice gives the same numbers, so split it.

>>> import fnn
>>> key = fnn.random.key(0)
>>> key, use = fnn.random.split(key)
>>> fnn.random.uniform(use, (3,)).shape
(3,)
"""

from fnn.lazy import names as _names

with _names(globals()):
    from fnn.random.choosing import categorical, choice, permutation, shuffle
    from fnn.random.counts import binomial, geometric, multinomial, poisson
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
    from fnn.random.gammas import ball, beta, chisquare, dirichlet, f, gamma, generalized_normal, loggamma, t
    from fnn.random.keys import PRNGKey, bits, clone, fold_in, key, key_data, key_impl, split, wrap_key_data
    from fnn.random.matrices import multivariate_normal, orthogonal
    from fnn.random.transformed import (
        double_sided_maxwell,
        lognormal,
        maxwell,
        pareto,
        rayleigh,
        triangular,
        wald,
        weibull_min,
    )
    from fnn.random.uniforms import randint, uniform

__all__ = [
    "PRNGKey",
    "ball",
    "bernoulli",
    "beta",
    "binomial",
    "bits",
    "categorical",
    "cauchy",
    "chisquare",
    "choice",
    "clone",
    "dirichlet",
    "double_sided_maxwell",
    "exponential",
    "f",
    "fold_in",
    "gamma",
    "generalized_normal",
    "geometric",
    "gumbel",
    "key",
    "key_data",
    "key_impl",
    "laplace",
    "loggamma",
    "logistic",
    "lognormal",
    "maxwell",
    "multinomial",
    "multivariate_normal",
    "normal",
    "orthogonal",
    "pareto",
    "permutation",
    "poisson",
    "rademacher",
    "randint",
    "rayleigh",
    "shuffle",
    "split",
    "t",
    "triangular",
    "truncated_normal",
    "uniform",
    "wald",
    "weibull_min",
    "wrap_key_data",
]
