"""Every layer's array body on the CUDA engine, under CuPy's rules, against what BVLC Caffe recorded."""

from pathlib import Path

import pytest

from caffelite.layers.registry import module_name
from caffelite.testing.compare import CheckError
from caffelite.testing.golden import GoldenCase
from caffelite.testing.layer import kernel_variants

HERE = Path(__file__).resolve().parent.parent / "golden" / "layers"


def replay(path, engine):
    case = GoldenCase.load(path)
    for variant in kernel_variants(case, [engine]):
        case.replay(variant)


@pytest.mark.parametrize("path", sorted(HERE.glob("*.npz")), ids=lambda path: path.stem)
def test_shipped_cases(path, engine):
    replay(path, engine)


def test_reference_material(shared, engine):
    paths = [
        p for p in sorted((shared / "golden" / "layers").glob("*.npz")) if module_name(p.stem.split("_")[0])
    ]
    assert len(paths) > 100
    wrong = []
    for path in paths:
        try:
            replay(path, engine)
        except CheckError as error:
            wrong.append(str(error))
    assert not wrong, "\n".join(wrong)
