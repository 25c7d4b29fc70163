"""Messages as text: what Caffe logs, and back."""

from __future__ import annotations

import math
import re
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffelite.prototxt.schema import message, message_type
from caffelite.prototxt.source import parse_net
from caffelite.prototxt.text import parse_text
from caffelite.prototxt.write import format_float, write_text


def test_a_layer():
    text = """name: "n"
layer {
  name: "conv"
  type: "Convolution"
  param {
    lr_mult: 1
  }
  include {
    phase: TEST
  }
  convolution_param {
    num_output: 4
    bias_term: false
    kernel_size: 3
    kernel_size: 5
    weight_filler {
      type: "gaussian"
      std: 0.01
    }
    pad_h: 0
    engine: CAFFE
  }
  relu_param {
  }
}
"""
    assert write_text(parse_net(text).message) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.00390625, "0.00390625"),
        (1e-5, "1e-05"),
        (1e10, "1e+10"),
        (0.0, "0"),
        (-1.0, "-1"),
        (123456.0, "123456"),
        (1234567.0, "1234567"),
        (102.9801, "102.9801"),
        (0.1, "0.1"),
        (1 / 3, "0.33333334"),
        (3.4028234663852886e38, "3.4028235e+38"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (math.nan, "nan"),
    ],
)
def test_floats(value, text):
    assert format_float(struct.unpack("f", struct.pack("f", value))[0]) == text


def test_doubles():
    assert format_float(1 / 3, double=True) == "0.3333333333333333"
    assert format_float(0.1, double=True) == "0.1"


def test_strings():
    net = message("NetParameter")(name="a\"b'c\\d\ne\tf\rgß\x01")
    assert write_text(net) == 'name: "a\\"b\\\'c\\\\d\\ne\\tf\\rg\\303\\237\\001"\n'
    assert parse_text(write_text(net), "NetParameter")[0] == net


def test_what_caffe_logged_is_written_letter_for_letter(shared):
    log = (shared / "golden" / "logs" / "train.log").read_text()
    blocks = re.findall(
        r"Initializing (solver|net) from parameters: \n(.*?)(?=^[IWEF]\d{8} )", log, re.M | re.S
    )
    assert len(blocks) == 3
    for kind, text in blocks:
        name = "SolverParameter" if kind == "solver" else "NetParameter"
        assert write_text(parse_text(text, name)[0]) == text


@given(st.floats(width=32))
def test_each_float_reads_back(value):
    solver = message("SolverParameter")(base_lr=value)
    again = parse_text(write_text(solver), "SolverParameter")[0]
    assert again.base_lr == value or math.isnan(value)


@given(st.binary(max_size=20), st.text(max_size=20))
def test_all_bytes_and_texts_read_back(data, text):
    datum = message("Datum")(data=data)
    assert parse_text(write_text(datum), "Datum")[0] == datum
    net = message("NetParameter")(name=text)
    assert parse_text(write_text(net), "NetParameter")[0] == net


@pytest.mark.parametrize(
    "name", ["LayerParameter", "SolverParameter", "V1LayerParameter", "V0LayerParameter"]
)
def test_a_message_with_every_field_reads_back(name):
    original = message(name)()
    _fill(original, message_type(name))
    assert parse_text(write_text(original), name)[0] == original


def _fill(instance, type_):
    samples = {
        "string": "s",
        "bytes": b"\x00\xff",
        "bool": True,
        "float": -1.5,
        "double": 1e300,
        "enum": None,
    }
    for field in type_.fields.values():
        if field.kind == "message":
            child = getattr(instance, field.name).add() if field.repeated else getattr(instance, field.name)
            child.SetInParent()
            _fill(child, message_type(field.type))
            continue
        value = list(field.values.values())[-1] if field.kind == "enum" else samples.get(field.kind, 7)
        if field.repeated:
            getattr(instance, field.name).extend([value, value])
        else:
            setattr(instance, field.name, value)
