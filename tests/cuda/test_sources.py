"""Every kernel's source compiles for every architecture that is supported."""

from __future__ import annotations

import pytest

from caffelite.cuda.device import OPTIONS
from caffelite.cuda.kernel import read_source, sources

from .nvrtc import compile_for, library
from .shim import kernels

ARCHITECTURES = ("sm_75", "sm_80", "sm_90", "sm_100")

needs_nvrtc = pytest.mark.skipif(
    library() is None, reason="NVRTC is not installed (pip install nvidia-cuda-nvrtc)"
)


@needs_nvrtc
@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("name", sources())
def test_it_compiles(name, arch):
    assert compile_for(read_source(name), arch, OPTIONS) > 1000


@needs_nvrtc
def test_errors_are_noticed():
    with pytest.raises(RuntimeError, match="undefined_name"):
        compile_for('extern "C" __global__ void k(float* x) { x[0] = undefined_name; }', "sm_90", OPTIONS)


@pytest.mark.parametrize("name", sources())
def test_each_kernel_is_named_as_the_emulator_finds_it(name):
    source = read_source(name)
    assert len(kernels(source)) == source.count("__global__")
