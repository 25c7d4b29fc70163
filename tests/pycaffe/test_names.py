"""pycaffe's public names, and those of its compiled module."""

from __future__ import annotations

import copy
import pickle
import sys
import time
from collections.abc import Iterator

import pytest

import caffelite
from caffelite.errors import DeviceError
from caffelite.logs.log import get_log
from caffelite.proto import caffe_pb2

PUBLIC = [
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "Classifier",
    "Detector",
    "Layer",
    "NCCL",
    "NesterovSolver",
    "Net",
    "NetSpec",
    "RMSPropSolver",
    "SGDSolver",
    "TEST",
    "TRAIN",
    "Timer",
    "classifier",
    "detector",
    "get_solver",
    "has_nccl",
    "init_log",
    "io",
    "layer_type_list",
    "layers",
    "log",
    "net_spec",
    "params",
    "proto",
    "pycaffe",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_multiprocess",
    "set_random_seed",
    "set_solver_count",
    "set_solver_rank",
    "solver_count",
    "solver_rank",
    "to_proto",
]
BVLC_TYPES = [
    "AbsVal",
    "Accuracy",
    "ArgMax",
    "BNLL",
    "BatchNorm",
    "BatchReindex",
    "Bias",
    "Clip",
    "Concat",
    "ContrastiveLoss",
    "Convolution",
    "Crop",
    "Data",
    "Deconvolution",
    "Dropout",
    "DummyData",
    "ELU",
    "Eltwise",
    "Embed",
    "EuclideanLoss",
    "Exp",
    "Filter",
    "Flatten",
    "HDF5Data",
    "HDF5Output",
    "HingeLoss",
    "Im2col",
    "ImageData",
    "InfogainLoss",
    "InnerProduct",
    "Input",
    "LRN",
    "LSTM",
    "LSTMUnit",
    "Log",
    "MVN",
    "MemoryData",
    "MultinomialLogisticLoss",
    "PReLU",
    "Parameter",
    "Pooling",
    "Power",
    "Python",
    "RNN",
    "ReLU",
    "Reduction",
    "Reshape",
    "SPP",
    "Scale",
    "Sigmoid",
    "SigmoidCrossEntropyLoss",
    "Silence",
    "Slice",
    "Softmax",
    "SoftmaxWithLoss",
    "Split",
    "Swish",
    "TanH",
    "Threshold",
    "Tile",
    "WindowData",
]


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names(name: str) -> None:
    assert getattr(caffelite, name) is not None


def test_what_is_not_there_says_so() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nets'"):
        _ = caffelite.Nets


def test_the_compiled_modules_names() -> None:
    from caffelite import _caffe

    assert all(hasattr(_caffe, name) for name in _caffe.__all__)
    assert caffelite._caffe is _caffe
    assert _caffe.Net is caffelite.Net
    assert _caffe.SGDSolver is caffelite.SGDSolver
    for name in ("BoolVec", "DtypeVec", "IntVec", "LayerVec", "NetVec", "RawBlobVec", "StringVec"):
        assert list(getattr(_caffe, name)([1, 2])) == [1, 2]
    assert _caffe.LayerParameter is caffe_pb2.LayerParameter
    assert _caffe.SolverParameter is caffe_pb2.SolverParameter
    with pytest.raises(AttributeError, match="no attribute 'Bolb'"):
        _ = _caffe.Bolb


def test_phases() -> None:
    assert (caffelite.TRAIN, caffelite.TEST) == (0, 1) == (caffe_pb2.TRAIN, caffe_pb2.TEST)


def test_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    """Choosing the CPU is accepted, choosing a GPU says what is missing."""
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.delitem(sys.modules, "caffe", raising=False)  # an old script would get a warning instead
    caffelite.set_mode_cpu()
    with pytest.raises(DeviceError, match=r"set_mode_gpu\(\): GPU 0: CuPy is not installed"):
        caffelite.set_mode_gpu()
    with pytest.raises(RuntimeError, match=r"set_device\(0\): GPU 0: CuPy is not installed"):
        caffelite.set_device(0)


def test_all_of_bvlcs_layer_types() -> None:
    assert len(BVLC_TYPES) == 61
    types = caffelite.layer_type_list()
    assert set(BVLC_TYPES) <= set(types)
    assert types[0] == "AbsVal" and len(types) > 61 and list(types) == sorted(types)


def test_timer() -> None:
    timer = caffelite.Timer()
    timer.start()
    time.sleep(0.02)
    timer.stop()
    assert 20 <= timer.ms < 2000
    assert timer.ms == timer.ms


def test_one_process_trains() -> None:
    caffelite.set_multiprocess(True)
    caffelite.set_solver_count(1)
    caffelite.set_solver_rank(0)
    assert (caffelite.solver_count(), caffelite.solver_rank(), caffelite.has_nccl()) == (1, 0, False)
    with pytest.raises(DeviceError, match="one process"):
        caffelite.set_solver_count(2)
    with pytest.raises(DeviceError, match="one process"):
        caffelite.set_solver_rank(1)
    assert isinstance(caffelite.NCCL.new_uid(), bytes)


@pytest.fixture
def _log_as_before() -> Iterator[None]:
    log = get_log()
    sinks = list(log.sinks)
    yield
    log.sinks = sinks


@pytest.mark.usefixtures("_log_as_before")
@pytest.mark.parametrize(
    ("arguments", "options", "told"),
    [
        ((), {}, True),
        ((0,), {}, True),
        ((0, True), {}, True),
        ((1,), {}, False),
        ((0, False), {}, False),
        ((), {"level": 0, "stderr": True}, True),
    ],
)
def test_init_log(capsys: pytest.CaptureFixture[str], arguments: tuple, options: dict, told: bool) -> None:
    caffelite.init_log(*arguments, **options)
    caffelite.log("hello")
    assert capsys.readouterr().err.endswith("] hello\n") is told


def test_init_log_refuses() -> None:
    with pytest.raises(ValueError, match="log level: expected 0 to 3, got 4"):
        caffelite.init_log(4)


# -- messages --------------------------------------------------------------------------------------------------


def test_messages_and_enums() -> None:
    net = caffe_pb2.NetParameter()
    layer = net.layer.add(name="p", type="Pooling")
    layer.pooling_param.pool = caffe_pb2.PoolingParameter.AVE
    layer.include.add(phase=caffe_pb2.TEST)
    assert caffe_pb2.PoolingParameter.PoolMethod.Name(1) == "AVE"
    assert caffe_pb2.Phase.Value("TEST") == caffe_pb2.TEST == 1
    assert caffe_pb2.Phase.Name(0) == "TRAIN"
    assert caffe_pb2.V1LayerParameter.LayerType.Value("CONVOLUTION") == 4
    again = caffe_pb2.NetParameter.FromString(net.SerializeToString())
    assert again == net
    assert caffe_pb2.NetParameter is type(again)
    assert pickle.loads(pickle.dumps(net)) == copy.deepcopy(net) == net
    assert "LayerParameter" in caffe_pb2.DESCRIPTOR.message_types_by_name


def test_text_format() -> None:
    from google.protobuf import text_format

    solver = caffe_pb2.SolverParameter()
    text_format.Merge('net: "n" base_lr: 0.1 lr_policy: "step" solver_mode: CPU', solver)
    assert solver.solver_mode == caffe_pb2.SolverParameter.CPU
    assert "lr_policy" in text_format.MessageToString(solver)


def test_all_of_the_module_is_listed() -> None:
    names = dir(caffe_pb2)
    assert {"NetParameter", "Datum", "BlobProto", "BlobProtoVector", "SolverState", "Phase", "TRAIN"} <= set(
        names
    )
    assert all(getattr(caffe_pb2, name) is not None for name in names)
    with pytest.raises(AttributeError, match="NoSuchParameter"):
        _ = caffe_pb2.NoSuchParameter
