"""A net that draws random numbers in every pass, and solvers for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from caffelite.logs.log import Log, Record
from caffelite.prototxt.source import parse_solver
from caffelite.solver.solver import Solver

NET = """
name: "noisy"
layer { name: "data" type: "DummyData" top: "x" top: "target" include { phase: TRAIN }
  dummy_data_param { shape { dim: 4 dim: 6 } shape { dim: 4 dim: 2 }
    data_filler { type: "gaussian" } data_filler { type: "uniform" } } }
layer { name: "data" type: "DummyData" top: "x" top: "target" include { phase: TEST }
  dummy_data_param { shape { dim: 3 dim: 6 } shape { dim: 3 dim: 2 }
    data_filler { type: "gaussian" } data_filler { type: "uniform" } } }
layer { name: "ip1" type: "InnerProduct" bottom: "x" top: "ip1" param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "drop" type: "Dropout" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip2" bottom: "target" top: "loss" }
"""


class Records:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def write(self, record: Record) -> None:
        self.records.append(record)

    def close(self) -> None:
        """Nothing is held back."""

    def texts(self, *kinds: str) -> list[str]:
        return [record.text for record in self.records if record.text and (not kinds or record.kind in kinds)]


@pytest.fixture
def records() -> Records:
    return Records()


@pytest.fixture
def make(tmp_path: Path, records: Records) -> Callable[..., Solver]:
    """``make("max_iter: 3", net=NET)``: a solver in an empty directory, on the reference engine."""

    def make_solver(fields: str = "", net: str = NET, **options: object) -> Solver:
        (tmp_path / "net.prototxt").write_text(net)
        text = 'net: "net.prototxt" random_seed: 3 '
        if "base_lr" not in fields:
            text += "base_lr: 0.05 momentum: 0.9 weight_decay: 0.01 "
        if "lr_policy" not in fields:
            text += 'lr_policy: "fixed" '
        if "snapshot_prefix" not in fields:
            text += 'snapshot_prefix: "snap" '
        source = parse_solver(text + fields, "solver.prototxt")
        options = {"engine": "reference", "log": Log(records), "root": tmp_path} | options
        return Solver(source, **options)

    return make_solver


# one parameter w, loss = (w - x)^2 / 2, so that each gradient is w - x
PARABOLA = """
name: "parabola"
layer { name: "x" type: "Input" top: "x" top: "one" input_param { shape { dim: 1 dim: 1 } shape { dim: 1 dim: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "one" top: "y" inner_product_param { num_output: 1 bias_term: false } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "x" top: "loss" }
"""


def parabola(make, fields, **options):
    solver = make(f"base_lr: 0.5 {fields}", net=PARABOLA, **options)
    solver.net.blob("one")[...] = 1
    solver.net.blob("x")[...] = -8
    return solver


def weight(solver):
    return float(solver.net.params["ip"][0].data[0, 0])
