"""What is said where a piece of the way to a GPU is missing."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from caffelite.cuda.device import count_gpus, open_device
from caffelite.engine import get_engine, gpu_engine
from caffelite.errors import DeviceError, UsageError


class CudaError(RuntimeError):
    """CUDARuntimeError."""


def fake_cupy(count):
    """CuPy as far as it looks for GPUs; ``count`` may be an error."""

    def device_count():
        if isinstance(count, str):
            raise CudaError(count)
        return count

    properties = {"name": b"NVIDIA H200", "totalGlobalMem": 141 << 30}
    runtime = SimpleNamespace(
        getDeviceCount=device_count, CUDARuntimeError=CudaError, getDeviceProperties=lambda number: properties
    )
    return SimpleNamespace(__version__="14.2.0", cuda=SimpleNamespace(runtime=runtime, Device=lambda n: n))


@pytest.fixture
def cupy(monkeypatch):
    return lambda count: monkeypatch.setitem(sys.modules, "cupy", fake_cupy(count))


def test_without_cupy(without_cupy):
    with pytest.raises(
        DeviceError, match=r"GPU 0: CuPy is not installed\n  Fix: pip install 'caffelite\[cuda\]'"
    ):
        open_device()
    with pytest.raises(DeviceError, match="GPU 2: CuPy is not installed"):
        get_engine("cuda:2")


def test_cupy_that_lacks_a_library(monkeypatch, tmp_path):
    (tmp_path / "cupy.py").write_text("raise ImportError('libcudart.so.13: cannot open')")
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(DeviceError, match="CuPy cannot be imported: libcudart"):
        open_device()


def test_without_a_driver(cupy):
    cupy("cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version")
    with pytest.raises(
        DeviceError,
        match=r"GPU 0: CuPy 14.2.0 finds no NVIDIA driver .*Insufficient(.|\n)*Fix: install NVIDIA's",
    ):
        open_device()


@pytest.mark.parametrize("count", [0, "cudaErrorNoDevice: no CUDA-capable device is detected"])
def test_without_a_gpu(cupy, count):
    cupy(count)
    with pytest.raises(DeviceError, match=r"GPU 0: this machine has none\n  Fix: leave the GPU out"):
        open_device()
    with pytest.raises(DeviceError, match="this machine has none"):
        count_gpus()


@pytest.mark.parametrize(("count", "have"), [(1, "GPU 0"), (3, "GPUs 0 to 2")])
def test_a_gpu_that_there_is_not(cupy, count, have):
    cupy(count)
    with pytest.raises(DeviceError, match=rf"GPU 3: this machine has {have}\n  Fix: choose one of these"):
        open_device(3)
    assert (open_device(count - 1).name, open_device().memory) == ("NVIDIA H200", 141 << 30)
    assert count_gpus() == count


def test_caffes_words(cupy):
    cupy(1)
    assert (gpu_engine("1"), gpu_engine("all")) == ("cuda:1", "cuda:0")
    cupy(2)
    with pytest.raises(
        DeviceError, match=r"-gpu all: a net computes on one GPU, not on 2 together\n  Fix: -gpu 0"
    ):
        gpu_engine("all")
    with pytest.raises(DeviceError, match="-gpu 1,2: a net"):
        gpu_engine("1,2")
    for words in ("", "one", "-1"):
        with pytest.raises(UsageError, match="expected a GPU's number or all"):
            gpu_engine(words)
