"""Exceptions: what they derive from, and that each explains itself."""

import inspect
import pickle

import pytest

from fnn import errors

CLASSES = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if cls.__module__ == errors.__name__]
EXCEPTIONS = [
    cls for cls in CLASSES if cls not in (errors.FnnError, errors.CacheWarning, errors.KeyReuseWarning)
]


def test_all_is_complete():
    assert {cls.__name__ for cls in CLASSES} <= set(errors.__all__)
    assert all(hasattr(errors, name) for name in errors.__all__)


@pytest.mark.parametrize("cls", EXCEPTIONS)
def test_each_is_an_fnn_error_and_a_builtin_one(cls):
    assert issubclass(cls, errors.FnnError)
    builtin = [base for base in cls.__mro__ if base.__module__ == "builtins"]
    assert set(builtin) - {Exception, BaseException, object}
    error = cls("what happened")
    assert str(error) == "what happened"
    assert str(pickle.loads(pickle.dumps(error))) == "what happened"


@pytest.mark.parametrize("cls", EXCEPTIONS)
def test_each_docstring_shows_broken_code_and_the_way_out(cls):
    assert cls.__doc__
    assert cls.__doc__.count("::") >= 2 or cls is errors.MissingDependency


@pytest.mark.parametrize(
    "cls, builtin",
    [
        (errors.ConcretizationError, TypeError),
        (errors.NonConcreteBooleanIndexError, IndexError),
        (errors.ShapeError, ValueError),
        (errors.ShapeError, TypeError),
        (errors.TreeError, ValueError),
        (errors.ImmutableError, AttributeError),
        (errors.AxisNameError, NameError),
        (errors.UnsupportedError, NotImplementedError),
        (errors.LeakError, RuntimeError),
    ],
)
def test_builtins_a_person_would_expect(cls, builtin):
    assert issubclass(cls, builtin)


def test_missing_dependency_gives_the_command():
    error = errors.MissingDependency.of("scikit-learn", "the digits example", module="sklearn")
    assert "pip install scikit-learn" in str(error)
    assert error.name == "sklearn"
    assert isinstance(error, ImportError)
