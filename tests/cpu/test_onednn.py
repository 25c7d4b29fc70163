"""oneDNN's binding: finding it, layouts, running, failing."""

from __future__ import annotations

import numpy as np
import pytest

from caffelite.cpu import onednn_library
from caffelite.cpu.onednn_library import INSTALL, OneDNNError, available
from caffelite.errors import DeviceError

pytestmark = pytest.mark.skipif(available() is not None, reason=str(available()))

if available() is None:
    from caffelite.cpu import onednn
    from caffelite.cpu import onednn_primitives as primitives
    from caffelite.cpu.onednn import Attributes, Memory, MemoryDesc, Scratch
    from caffelite.cpu.onednn_types import Algorithm, Arg, DataType, Query, Status


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def normal(rng, *shape):
    return rng.standard_normal(shape, dtype=np.float32)


# -- finding the library ------------------------------------------------------------------------------------


@pytest.fixture
def fresh():
    """Look for the library anew, and again after the test."""
    onednn_library._loaded.cache_clear()
    yield
    onednn_library._loaded.cache_clear()


def test_a_named_file_is_not_replaced_in_silence(fresh, monkeypatch):
    monkeypatch.setenv("CAFFELITE_ONEDNN", "nowhere/libdnnl.so.3")
    reason = available()
    assert reason is not None
    assert reason.startswith("oneDNN library 'nowhere/libdnnl.so.3' cannot be loaded")
    assert "pip install onednn-cpu-gomp" in reason
    with pytest.raises(DeviceError, match="nowhere"):
        onednn_library.library()


def test_another_library_is_refused(fresh, monkeypatch):
    monkeypatch.setenv("CAFFELITE_ONEDNN", "libm.so.6")
    assert "'libm.so.6' is not oneDNN" in str(available())


@pytest.mark.parametrize(
    ("version", "runtime", "words"),
    [
        ((2, 6, 3), "OpenMP", "is version 2.6.3, expected 3.x"),
        ((3, 4, 0), "TBB", "runs on TBB, expected OpenMP"),
    ],
)
def test_an_unfit_library_is_refused(fresh, monkeypatch, version, runtime, words):
    class Fake:
        def __init__(self, path):
            self.version, self.runtime = version, runtime

    monkeypatch.setattr(onednn_library, "Library", Fake)
    assert words in str(available())


def test_a_missing_openmp_runtime_names_the_package(fresh, monkeypatch):
    def fail(path):
        raise OSError("libgomp.so.1: cannot open shared object file: No such file or directory")

    monkeypatch.setattr(onednn_library, "Library", fail)
    assert "apt-get install libgomp1" in str(available())


def test_nothing_found_says_what_to_install(fresh, monkeypatch):
    monkeypatch.delenv("CAFFELITE_ONEDNN", raising=False)
    monkeypatch.setattr(onednn_library, "_find", lambda: None)
    assert available() == f"oneDNN is not installed\n  Fix: {INSTALL}"


def test_version():
    assert onednn.version().startswith("3.")


# -- descriptors and memories -------------------------------------------------------------------------------


def test_plain_layouts():
    desc = MemoryDesc.of((2, 3, 4, 5))
    assert (desc.shape, desc.strides, desc.bytes) == ((2, 3, 4, 5), (60, 20, 5, 1), 480)
    last = MemoryDesc.channels_last((2, 3, 4, 5))
    assert (last.strides, last.bytes) == ((60, 1, 15, 3), 480)
    assert desc != last
    assert last == MemoryDesc.like(np.empty((2, 4, 5, 3), np.float32).transpose(0, 3, 1, 2))
    assert MemoryDesc.any((2, 3)).strides is None


def test_views_of_descriptors():
    desc = MemoryDesc.of((2, 3, 4))
    assert desc.transpose((2, 0, 1)) == MemoryDesc.like(np.empty((2, 3, 4), np.float32).transpose(2, 0, 1))
    assert desc.reshape((6, 4)) == MemoryDesc.of((6, 4))


@pytest.mark.parametrize(
    ("dtype", "expected"), [("float32", "F32"), ("uint16", "BF16"), ("int32", "S32"), ("uint8", "U8")]
)
def test_data_types(dtype, expected):
    desc = MemoryDesc.of((3,), dtype)
    assert desc.data_type is DataType[expected]
    assert desc.dtype == dtype


def test_unknown_data_type():
    with pytest.raises(TypeError, match="no data type for NumPy's float64"):
        MemoryDesc.of((3,), np.float64)


def test_a_memory_refuses_a_short_array():
    with pytest.raises(ValueError, match="takes 48 bytes, got 44"):
        Memory(MemoryDesc.of((3, 4)), np.empty(11, np.float32))


def test_empty_starts_at_a_cache_line():
    for count in (1, 7, 1000):
        array = onednn.empty(count)
        assert array.ctypes.data % 64 == 0
        assert array.shape == (count,)


# -- running ------------------------------------------------------------------------------------------------


def copy(source, target):
    primitives.reorder(MemoryDesc.like(source), MemoryDesc.like(target)).bind(
        {Arg.SRC: Memory.of(source), Arg.DST: Memory.of(target)}
    ).run()


def test_reorder_to_channels_last(rng):
    x = normal(rng, 2, 3, 4, 5)
    y = np.empty((2, 4, 5, 3), np.float32).transpose(0, 3, 1, 2)
    copy(x, y)
    np.testing.assert_array_equal(x, y)


def test_reorder_to_bfloat16_rounds_to_nearest_even():
    x = np.array([1.0, 1.00390625, 1.01171875, -3.0], np.float32)
    y = np.empty(4, np.uint16)
    copy(x, y)
    back = np.empty(4, np.float32)
    copy(y, back)
    np.testing.assert_array_equal(back, np.array([1.0, 1.0, 1.015625, -3.0], np.float32))


def test_reorder_that_adds(rng):
    x, y = normal(rng, 3, 5), normal(rng, 3, 5)
    expected = x + y
    desc = MemoryDesc.like(x)
    accumulate = primitives.reorder(desc, desc, Attributes().add_sum())
    accumulate.bind({Arg.SRC: Memory.of(x), Arg.DST: Memory.of(y)}).run()
    np.testing.assert_array_equal(y, expected)


def test_a_memory_can_be_moved_under_a_primitive(rng):
    x, y, other = normal(rng, 8), np.zeros(8, np.float32), np.zeros(8, np.float32)
    target = Memory.of(y)
    run = primitives.reorder(MemoryDesc.like(x), MemoryDesc.like(y)).bind(
        {Arg.SRC: Memory.of(x), Arg.DST: target}
    )
    target.point_to(other)
    run.run()
    np.testing.assert_array_equal(other, x)
    assert not y.any()


def test_inner_product_with_a_packed_weight(rng):
    x, W, b, y = (
        normal(rng, 3, 5, 2, 2),
        normal(rng, 7, 5, 2, 2),
        normal(rng, 7),
        np.empty((3, 7), np.float32),
    )
    relu = Attributes().add_eltwise(Algorithm.RELU)
    source, bias, out = (MemoryDesc.like(array) for array in (x, b, y))
    desc = primitives.inner_product(source, MemoryDesc.any(W.shape), bias, out, False, relu)
    packed = desc.desc(Query.WEIGHTS).empty()
    primitives.reorder(MemoryDesc.like(W), packed.desc).bind({Arg.SRC: Memory.of(W), Arg.DST: packed}).run()
    memories = {Arg.SRC: Memory.of(x), Arg.WEIGHTS: packed, Arg.BIAS: Memory.of(b), Arg.DST: Memory.of(y)}
    desc.bind(memories).run()
    expected = np.maximum(x.reshape(3, -1) @ W.reshape(7, -1).T + b, 0)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


def test_binary_post_op(rng):
    x, y, z = normal(rng, 2, 6), np.empty((2, 6), np.float32), normal(rng, 1, 6)
    other = MemoryDesc.like(z)
    attributes = Attributes().add_binary(Algorithm.BINARY_MUL, other)
    desc = primitives.binary(
        Algorithm.BINARY_ADD, MemoryDesc.like(x), MemoryDesc.like(x), MemoryDesc.like(y), attributes
    )
    memories = {Arg.SRC: Memory.of(x), Arg.SRC_1: Memory.of(x), Arg.DST: Memory.of(y)}
    desc.bind({**memories, Arg.POST_OP_BASE | Arg.SRC_1: Memory.of(z)}).run()
    np.testing.assert_allclose(y, 2 * x * z, rtol=1e-6)


def test_concat_and_sum(rng):
    x, z = normal(rng, 2, 3), normal(rng, 2, 3)
    descs = [MemoryDesc.like(x), MemoryDesc.like(z)]
    memories = {Arg.MULTIPLE_SRC: Memory.of(x), Arg.MULTIPLE_SRC + 1: Memory.of(z)}
    y = np.empty((2, 6), np.float32)
    primitives.concat(descs, MemoryDesc.like(y), 1).bind({**memories, Arg.DST: Memory.of(y)}).run()
    np.testing.assert_array_equal(y, np.concatenate([x, z], 1))
    total = np.empty((2, 3), np.float32)
    weighted = primitives.weighted_sum(descs, descs[0], [2.0, -1.0])
    weighted.bind({**memories, Arg.DST: Memory.of(total)}).run()
    np.testing.assert_allclose(total, 2 * x - z, rtol=1e-6, atol=1e-6)


def test_scratch_grows_under_those_who_use_it(rng):
    scratch = Scratch()
    small, large = (scratch.memory(MemoryDesc.of((count,))) for count in (4, 400))
    assert scratch.bytes == 1600
    assert small.array is large.array


def test_primitives_share_scratch_in_turn(rng):
    scratch = Scratch()
    runs, results = [], []
    for size in (5, 9):
        x, W, y = (
            normal(rng, 2, 3, size, size),
            normal(rng, 4, 3, 3, 3),
            np.empty((2, 4, size, size), np.float32),
        )
        window = primitives.Window((3, 3), (1, 1), (1, 1), (1, 1), (1, 1))
        descs = [MemoryDesc.like(array) for array in (x, W, y)]
        desc = primitives.convolution(descs[0], descs[1], None, descs[2], window, False)
        memories = {Arg.SRC: Memory.of(x), Arg.WEIGHTS: Memory.of(W), Arg.DST: Memory.of(y)}
        runs.append(desc.bind(memories, scratch))
        results.append((x, W, y))
    for run in runs:
        run.run()
    for x, W, y in results:
        patches = np.lib.stride_tricks.sliding_window_view(
            np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))), (3, 3), (2, 3)
        )
        np.testing.assert_allclose(y, np.einsum("nchwij,ocij->nohw", patches, W), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("size", [(3, 4, 5), (1, 4, 5), (3, 1, 5), (3, 4, 1)])
def test_sgemm(rng, transposed, size):
    m, n, k = size
    x = normal(rng, k, m).T if transposed[0] else normal(rng, m, k)
    y = normal(rng, n, k).T if transposed[1] else normal(rng, k, n)
    out = normal(rng, m, n)
    expected = 2 * x @ y + 0.5 * out
    onednn.sgemm(x, y, out, alpha=2.0, beta=0.5)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)


def test_sgemm_of_parts_of_larger_matrices(rng):
    x, y, out = normal(rng, 6, 8)[:4, 1:6], normal(rng, 9, 7)[2:7, :3], np.zeros((4, 5), np.float32)
    onednn.sgemm(x, y, out[:, :3])
    np.testing.assert_allclose(out[:, :3], x @ y, rtol=1e-5, atol=1e-5)
    assert not out[:, 3:].any()


@pytest.mark.parametrize(
    ("shapes", "dtype", "words"),
    [
        (((2, 3), (4, 5), (2, 5)), np.float32, "expected .M, K. @ .K, N."),
        (((2, 3), (3, 5), (2, 5)), np.float64, "expected float32"),
    ],
)
def test_sgemm_checks_its_arguments(shapes, dtype, words):
    with pytest.raises(ValueError, match=words):
        onednn.sgemm(*(np.zeros(shape, dtype) for shape in shapes))


# -- failing ------------------------------------------------------------------------------------------------


def test_errors_name_the_call_and_the_status():
    with pytest.raises(
        OneDNNError, match="dnnl_reorder_primitive_desc_create failed: invalid arguments"
    ) as caught:
        primitives.reorder(MemoryDesc.of((2, 3)), MemoryDesc.of((3, 2)))
    assert caught.value.status is Status.INVALID_ARGUMENTS


def test_what_is_not_implemented_can_be_told_apart():
    source, sizes = MemoryDesc.of((2, 3, 4, 4), np.int32), MemoryDesc.of((2, 3, 4, 4))
    with pytest.raises(OneDNNError) as caught:
        primitives.softmax(source, sizes, 1, False)
    assert caught.value.status in (Status.UNIMPLEMENTED, Status.INVALID_ARGUMENTS)


def test_descriptors_name_their_kernel():
    desc = MemoryDesc.of((4, 4))
    assert primitives.reorder(desc, desc).implementation
