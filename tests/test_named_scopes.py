"""named_scope and named_call: names beside the lines in graphs, plans, profiles and errors."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import fnn
import fnn.numpy as fnp


@fnn.named_call
def block(x: Any) -> Any:
    with fnn.named_scope("mlp"):
        return fnp.tanh(x @ x)


def test_names_in_graphs_plans_and_profiles() -> None:
    x = fnp.ones((8, 8))
    f = fnn.jit(fnn.grad(lambda x: (block(x) * 2.0).sum()))
    lines = fnn.make_ir(lambda x: block(x) + 1.0)(x).text(sources=True).splitlines()
    assert lines[2].endswith("in block/mlp") and "block" not in lines[3]
    compiled = f.lower(x).compile()
    assert "test_named_scopes.py:17 in block/mlp" in compiled.plan()
    assert "in block/mlp" in str(compiled.profile(x))


def test_names_in_errors_and_on_derivatives() -> None:
    with fnn.debug_nans(), pytest.raises(FloatingPointError, match=r"in outer/named$"):

        @fnn.named_call(name="named")
        def root(x: Any) -> Any:
            return fnp.sqrt(x)

        with fnn.named_scope("outer"):
            try:
                fnn.jit(fnn.grad(lambda x: root(x) * 0.0))(0.0)
            except FloatingPointError as error:
                raise FloatingPointError(str(error).partition(";")[0]) from None


def test_scopes_end_and_belong_to_a_thread() -> None:
    with pytest.raises(KeyError), fnn.named_scope("a"):
        raise KeyError
    seen = []
    with fnn.named_scope("here"):
        thread = threading.Thread(target=lambda: seen.append(fnn.make_ir(fnp.sin)(1.0).text(sources=True)))
        thread.start()
        thread.join()
    assert "here" not in seen[0]
    assert " in a" not in fnn.make_ir(fnp.sin)(1.0).text(sources=True)
