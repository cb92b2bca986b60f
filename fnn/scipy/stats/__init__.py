"""Distributions and statistics, as in scipy.stats and jax.scipy.stats.

A distribution is an object with the functions logpdf, pdf, cdf, logcdf, sf, logsf, ppf, isf (or logpmf and pmf) of those
that it has.

>>> from fnn.scipy import stats
>>> print(stats.norm.logpdf(1.0, loc=0.0, scale=2.0))
-1.7370857
"""

from fnn.lazy import names as _names

with _names(globals()):
    from fnn.scipy.stats.continuous import (
        beta,
        cauchy,
        chi2,
        expon,
        gamma,
        gennorm,
        gumbel_l,
        gumbel_r,
        laplace,
        logistic,
        norm,
        pareto,
        t,
        truncnorm,
        uniform,
        vonmises,
        wrapcauchy,
    )
    from fnn.scipy.stats.discrete import bernoulli, betabinom, binom, geom, nbinom, poisson
    from fnn.scipy.stats.kde import gaussian_kde
    from fnn.scipy.stats.multivariate import dirichlet, multinomial, multivariate_normal
    from fnn.scipy.stats.summaries import mode, rankdata, sem

__all__ = [
    "bernoulli", "beta", "betabinom", "binom", "cauchy", "chi2", "dirichlet", "expon", "gamma", "gaussian_kde", "gennorm",
    "geom", "gumbel_l", "gumbel_r", "laplace", "logistic", "mode", "multinomial", "multivariate_normal", "nbinom", "norm",
    "pareto", "poisson", "rankdata", "sem", "t", "truncnorm", "uniform", "vonmises", "wrapcauchy",
]  # fmt: skip
