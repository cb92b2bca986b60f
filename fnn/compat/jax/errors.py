"""`jax.errors`: fnn's exceptions under JAX's names."""

from fnn.errors import ArgumentError as JAXTypeError
from fnn.errors import ConcretizationError as ConcretizationTypeError
from fnn.errors import FnnError as JaxRuntimeError
from fnn.errors import IndexingError as JAXIndexError
from fnn.errors import (
    KeyReuseError,
    NonConcreteBooleanIndexError,
    TracerArrayConversionError,
    TracerBoolConversionError,
    TracerIntegerConversionError,
)
from fnn.errors import LeakError as UnexpectedTracerError

__all__ = [
    "ConcretizationTypeError",
    "JAXIndexError",
    "JAXTypeError",
    "JaxRuntimeError",
    "KeyReuseError",
    "NonConcreteBooleanIndexError",
    "TracerArrayConversionError",
    "TracerBoolConversionError",
    "TracerIntegerConversionError",
    "UnexpectedTracerError",
]
