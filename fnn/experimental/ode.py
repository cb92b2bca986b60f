"""Ordinary differential equations, where JAX keeps them."""

from fnn.scipy.integrate import odeint

__all__ = ["odeint"]
