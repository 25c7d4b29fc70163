"""Cases recorded by BVLC Caffe 1.0 on its CPU: those that come with the tests, and all of the reference material."""

from pathlib import Path

import numpy as np
import pytest

from caffelite.layers.registry import module_name
from caffelite.testing import CheckError, check_golden

HERE = Path(__file__).resolve().parent.parent / "golden" / "layers"


@pytest.mark.parametrize("path", sorted(HERE.glob("*.npz")), ids=lambda path: path.stem)
def test_shipped_cases(path):
    check_golden(path)


def test_reference_material(shared):
    paths = [
        p for p in sorted((shared / "golden" / "layers").glob("*.npz")) if module_name(p.stem.split("_")[0])
    ]
    assert len(paths) > 100
    wrong = []
    for path in paths:
        try:
            check_golden(path)
        except CheckError as error:
            wrong.append(str(error))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", ["top_0", "bottom_diff_0", "param_diff_1"])
def test_a_changed_number_is_noticed(tmp_path, name):
    with np.load(HERE / "Convolution_02.npz") as archive:
        record = dict(archive)
    record[name].flat[0] += 0.01
    np.savez(tmp_path / "changed.npz", **record)
    with pytest.raises(CheckError, match=name):
        check_golden(tmp_path / "changed.npz")
