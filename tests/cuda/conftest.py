"""Fixtures for tests of the CUDA engine."""

from __future__ import annotations

from typing import Any

import pytest

from .emulated import emulated_engine


@pytest.fixture(scope="session")
def engine() -> Any:
    """The engine on an emulated device."""
    return emulated_engine()
