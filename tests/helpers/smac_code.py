"""SMAC's own code with our engine for a game, for the test files that compare the two."""

import importlib
import warnings

import pytest


def fake_sc2_or_skip():
    """`tests.helpers.fake_sc2`; skips the test file that asks for it where SMAC cannot be imported."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # hundreds of them, of PySC2's protobuf files
            return importlib.import_module("tests.helpers.fake_sc2")
    except Exception as missing:  # absent, another package of that name, or a protobuf that cannot read PySC2's files
        reason = f"needs oxwhirl/smac, which cannot be imported here ({type(missing).__name__}: {missing})"
        pytest.skip(reason.splitlines()[0], allow_module_level=True)
