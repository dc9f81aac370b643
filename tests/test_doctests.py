"""The examples in the installed package's docstrings."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import qrank

MODULES = [
    found.name
    for found in pkgutil.walk_packages(qrank.__path__, "qrank.")
    if not found.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples() -> None:
    found = [doctest.DocTestFinder().find(importlib.import_module(name)) for name in MODULES]
    assert sum(bool(test.examples) for tests in found for test in tests) >= 10
