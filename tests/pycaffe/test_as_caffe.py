"""``import caffe`` of old scripts, from outside and from inside."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = """
import os, sys
import numpy as np
import google.protobuf.text_format as text_format
import caffe
import caffe.io
from caffe import layers as L, params as P, to_proto
from caffe.proto import caffe_pb2
import caffe.proto.caffe_pb2 as same

assert same is caffe_pb2 and caffe.proto.caffe_pb2 is same
caffe.set_mode_cpu()
net_param = caffe_pb2.NetParameter()
text_format.Merge(open("net.prototxt").read(), net_param)
print("layers", [str(layer.name) for layer in net_param.layer])

net = caffe.Net("net.prototxt", caffe.TEST)
net.blobs["data"].reshape(2, 3, 4, 4)
net.reshape()
data = np.zeros((2, 3, 4, 4), dtype=np.float)
net.blobs["data"].data[...] = data + 1
out = net.forward()["sum"]
print("sum", float(out), int(np.array(3.5).astype(np.int)))
print("python", [l.type for l in net.layers], sys.argv[1:], os.path.basename(sys.argv[0]), __name__)


class InTheScript(caffe.Layer):
    pass


print(caffe.__name__, sys.modules["caffe"] is sys.modules["caffelite"], caffe.io is sys.modules["caffelite.io"])
"""
NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 4 dim: 4 } } }
layer { name: "plus" type: "Python" bottom: "data" top: "plus" python_param { module: "plus" layer: "Plus" param_str: "2" } }
layer { name: "sum" type: "Reduction" bottom: "plus" top: "sum" }
"""
PLUS = """
import caffe
from caffe import Layer


class Plus(caffe.Layer):
    def setup(self, bottom, top):
        assert caffe.Layer is Layer
        self.number = eval(self.param_str)

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data + self.number

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = top[0].diff
"""


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    root = str(Path(__file__).parents[2])
    return subprocess.run(
        [sys.executable, *words], cwd=cwd, capture_output=True, text=True, timeout=120, env={"PYTHONPATH": root, "PATH": ""}
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "plus.py").write_text(PLUS)
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path


def test_an_old_script_runs_unchanged(folder: Path) -> None:
    done = run("-m", "caffelite.run", "script.py", "--flag", "x", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "layers ['data', 'plus', 'sum']",
        "sum 288.0 3",
        "python ['Input', 'Python', 'Reduction'] ['--flag', 'x'] script.py __main__",
        "caffelite True True",
    ]


def test_from_inside(folder: Path) -> None:
    code = (
        "import caffelite; caffelite.install_as_caffe(); caffelite.install_as_caffe()\n"
        "import caffe, caffe.proto.caffe_pb2, numpy\n"
        "assert caffe is caffelite and not hasattr(numpy, 'float')\n"
        "assert caffe.Net('net.prototxt', caffe.TEST).forward()['sum'] == 96\n"
        "try:\n    import caffe.nowhere\nexcept ModuleNotFoundError as error:\n    print(error.name)\n"
    )
    done = run("-c", code, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "caffe.nowhere"


def test_another_caffe_that_is_loaded_stays(folder: Path) -> None:
    (folder / "caffe.py").write_text("")
    code = (
        "import caffe, caffelite\n"
        "try:\n    caffelite.install_as_caffe()\nexcept caffelite.CaffeliteError as error:\n    print(error)\n"
    )
    done = run("-c", code, cwd=folder)
    assert "another module 'caffe' is loaded" in done.stdout, done.stderr


def test_its_exit_code_and_exceptions_are_the_scripts(folder: Path) -> None:
    (folder / "leave.py").write_text("import sys\nsys.exit(7)\n")
    assert run("-m", "caffelite.run", "leave.py", cwd=folder).returncode == 7
    (folder / "fail.py").write_text("raise KeyError('x')\n")
    assert "KeyError: 'x'" in run("-m", "caffelite.run", "fail.py", cwd=folder).stderr


@pytest.mark.parametrize(
    ("code", "note"),
    [
        ("print 'hello'", "This looks like Python 2"),
        ("x = 010", "This looks like Python 2"),
        ("try:\n  pass\nexcept KeyError, e:\n  pass", "This looks like Python 2"),
        ("import cPickle", "This looks like Python 2"),
        ("for i in xrange(3): pass", "This looks like Python 2"),
        ("{}.iteritems()", "This looks like Python 2"),
    ],
)
def test_python_2_is_told(folder: Path, code: str, note: str) -> None:
    (folder / "old.py").write_text(code + "\n")
    done = run("-m", "caffelite.run", "old.py", cwd=folder)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(note)


@pytest.mark.skipif(
    np.lib.NumpyVersion(np.__version__) < "2.4.0", reason="NumPy still makes numbers of arrays"
)
@pytest.mark.parametrize("code", ["float(np.ones((1, 1)))", "np.zeros(3)[0] = np.ones(1)"])
def test_numbers_of_arrays_with_axes_are_told(folder: Path, code: str) -> None:
    (folder / "old.py").write_text(f"import numpy as np\n{code}\n")
    done = run("-m", "caffelite.run", "old.py", cwd=folder)
    assert "Write array.item(), or install the NumPy that the script is used to" in done.stderr


def test_other_errors_have_no_note(folder: Path) -> None:
    for code in ("x = (", "nowhere", "import nowhere_to_be_found", "[].nothing", "int([])", "float('x')"):
        (folder / "wrong.py").write_text(code + "\n")
        done = run("-m", "caffelite.run", "wrong.py", cwd=folder)
        assert done.returncode == 1 and "Error" in done.stderr.splitlines()[-1], done.stderr


def test_names_of_old_numpy(folder: Path) -> None:
    code = """
import numpy as np
import caffe
assert (np.float, np.int, np.object, np.str, np.complex, np.unicode) == (float, int, object, str, complex, str)
assert np.zeros(2, np.float).dtype == np.float_ == np.float64 and np.dtype(np.bool) == bool
assert np.isnan(np.NaN) and np.isnan(np.NAN) and np.Inf == np.PINF == np.infty == -np.NINF == np.inf
assert np.product([2, 3]) == 6 and np.alltrue([1, 1]) and np.sometrue([0, 1]) and np.round_(1.26, 1) == 1.3
assert np.in1d([[1, 2], [3, 4]], [2, 4]).tolist() == [False, True, False, True]
assert np.in1d([1, 2], [2], invert=True).tolist() == [True, False]
assert np.asscalar(np.array([4])) == 4 and np.asfarray([1]).dtype == float and np.msort([2, 1]).tolist() == [1, 2]
assert np.trapz([1, 1]) == 1 and np.string_ is np.bytes_ and np.unicode_ is np.str_
assert np.array([3.7]).astype(np.int)[0] == 3 and np.mat("1 2").shape == (1, 2)
print("fine")
"""
    (folder / "old.py").write_text(code)
    done = run("-m", "caffelite.run", "old.py", cwd=folder)
    assert done.stdout.strip() == "fine", done.stderr


@pytest.mark.parametrize(("words", "code"), [((), 2), (("-h",), 0), (("nowhere.py",), 2)])
def test_usage(folder: Path, words: tuple[str, ...], code: int) -> None:
    done = run("-m", "caffelite.run", *words, cwd=folder)
    assert done.returncode == code
    assert "usage: python -m caffelite.run SCRIPT" in done.stdout + done.stderr
