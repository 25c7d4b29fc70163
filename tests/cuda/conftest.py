"""Fixtures for tests of the CUDA engine."""

from __future__ import annotations

import pytest

from caffelite.cuda.engine import CudaEngine

from .emulated import EmulatedDevice


@pytest.fixture(scope="session")
def engine() -> CudaEngine:
    """The engine on an emulated device."""
    return CudaEngine(EmulatedDevice())
