"""Text that is right: values, forms, positions."""

from __future__ import annotations

import math
import time

import pytest

from caffelite.prototxt.schema import message
from caffelite.prototxt.text import parse_text, read_text
from caffelite.types import Location


def parse(text, name="NetParameter", **options):
    return parse_text(text, name, "net.prototxt", **options)[0]


def layer(text):
    return parse(f"layer {{ {text} }}").layer[0]


def test_a_small_net():
    net = parse(
        'name: "n" layer { name: "a" type: "ReLU" bottom: "x" top: "x" relu_param { negative_slope: .1 } }'
    )
    assert net.name == "n"
    assert net.layer[0].relu_param.negative_slope == pytest.approx(0.1)


@pytest.mark.parametrize(
    "text",
    [
        'convolution_param { num_output: 20 kernel_size: 5 kernel_size: 3 weight_filler { type: "xavier" } }',
        'convolution_param: { num_output: 20 kernel_size: [5, 3] weight_filler: { type: "xavier" } }',
        "convolution_param < num_output: 20; kernel_size: [ 5,3 ] , weight_filler < type: 'xavier' > >",
        "convolution_param{num_output:20,kernel_size:5;kernel_size:3,weight_filler{type:\"xav\" 'ier'}}",
        '# c\nconvolution_param # }\n{num_output: 0x14 kernel_size: 05 kernel_size: [] kernel_size: 3 # "\n'
        'weight_filler {type\n:\n"\\x78avi\\145r"}}',
    ],
)
def test_all_ways_to_write_one_message(text):
    convolution = layer(text).convolution_param
    assert convolution.num_output == 20
    assert list(convolution.kernel_size) == [5, 3]
    assert convolution.weight_filler.type == "xavier"


def test_lists_of_messages():
    net = parse('layer [ { name: "a" }, < name: "b" > ]')
    assert [x.name for x in net.layer] == ["a", "b"]


def test_an_empty_message_is_present():
    assert layer("relu_param {}").HasField("relu_param")


def test_an_empty_text_is_an_empty_net():
    assert parse("") == parse(" \n# nothing\n") == message("NetParameter")()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1.0),
        ("-1", -1.0),
        ("- 1.5", -1.5),
        ("1.", 1.0),
        ("1.f", 1.0),
        ("1.5F", 1.5),
        ("1f", 1.0),
        (".5", 0.5),
        ("1e-3", 1e-3),
        ("1E+3", 1e3),
        ("2.5e2f", 250.0),
        ("inf", math.inf),
        ("-Infinity", -math.inf),
        ("-3.40282347e+38", -3.40282347e38),
    ],
)
def test_floats(text, value):
    assert layer(f"power_param {{ shift: {text} }}").power_param.shift == pytest.approx(value)


def test_not_a_number():
    assert math.isnan(layer("power_param { shift: nan }").power_param.shift)


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("True", True), ("t", True), ("1", True), ("false", False), ("f", False), ("0", False)],
)
def test_bools(text, value):
    assert layer(f"convolution_param {{ bias_term: {text} }}").convolution_param.bias_term is value


@pytest.mark.parametrize(("text", "value"), [("AVE", 1), ("1", 1), ("0x2", 2)])
def test_enums(text, value):
    assert layer(f"pooling_param {{ pool: {text} }}").pooling_param.pool == value


def test_integers_up_to_their_ends():
    reshape = layer(
        "reshape_param { shape { dim: -9223372036854775808 dim: 0 } axis: -2147483648 }"
    ).reshape_param
    assert list(reshape.shape.dim) == [-(2**63), 0]
    assert reshape.axis == -(2**31)
    assert layer("convolution_param { group: 4294967295 }").convolution_param.group == 2**32 - 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'"a\n\t\"\'\\\?"', "a\n\t\"'\\?"),
        (r"'it''s'", "its"),
        ('"it\'s"', "it's"),
        (r'"\101\x42\u0043\U00000044"', "ABCD"),
        ('"Größe"', "Größe"),
        (r'"\303\237"', "ß"),
        ('""', ""),
        ('"#no comment"', "#no comment"),
    ],
)
def test_strings(text, value):
    assert parse(f"name: {text}").name == value


def test_byte_order_mark_and_carriage_returns():
    net, positions, _ = parse_text(
        b'\xef\xbb\xbfname: "n"\r\nlayer {\r\n  name: "a"\r\n}\r\n', "NetParameter", "f"
    )
    assert (net.name, net.layer[0].name) == ("n", "a")
    assert positions.locate(("layer", 0, "name")) == Location("f", 3, 3)
    assert positions.locate(("name",)) == Location("f", 1, 1)


def test_bytes_that_are_not_utf8_may_stand_in_comments():
    assert parse(b'# caf\xe9\nname: "n"').name == "n"


def test_positions_of_fields():
    text = (
        'name: "n"\n'
        'layer { name: "a" }\n'
        "layer {\n"
        '  name: "b"  convolution_param {\n'
        "    num_output: 3\n"
        "    kernel_size: [5,\n"
        "      3]\n"
        "    kernel_size: 7\n"
        "  }\n"
        "}\n"
    )
    positions = parse_text(text, "NetParameter", "f")[1]

    def at(*path):
        place = positions.locate(path)
        return place.line, place.column

    assert at("name") == (1, 1)
    assert at("layer", 1) == (3, 1)
    assert at("layer", 1, "convolution_param") == (4, 14)
    assert at("layer", 1, "convolution_param", "num_output") == (5, 5)
    assert at("layer", 1, "convolution_param", "kernel_size") == (6, 19)
    assert at("layer", 1, "convolution_param", "kernel_size", 1) == (7, 7)
    assert at("layer", 1, "convolution_param", "kernel_size", 2) == (8, 5)


def test_what_the_text_lacks_is_placed_at_what_is_around_it():
    positions = parse_text("layer {\n  pooling_param {\n  }\n}", "NetParameter", "f")[1]
    assert positions.locate(("layer", 0, "pooling_param", "pad")).line == 2
    assert positions.locate(("layer", 0, "bottom", 2)).line == 1
    assert positions.locate(("layer", 9, "name")).line == 1
    assert positions.file == "f"


def test_unknown_fields_can_be_notes():
    net, _, notes = parse_text(
        'nam: "x"\nlayer { name: "a"\n  new_param { deep { x: [1, 2] } } shoe_size: 43 }',
        "NetParameter",
        "f",
        lenient=True,
    )
    assert net.layer[0].name == "a"
    assert notes == [
        "f:1:1: the net has no field 'nam'; ignored",
        "f:3:3: layer has no field 'new_param'; ignored",
        "f:3:36: layer has no field 'shoe_size'; ignored",
    ]


def test_all_reference_files_read_as_protobuf_reads_them(shared):
    from google.protobuf import text_format

    files = sorted(shared.rglob("*.prototxt"))
    assert files
    for file in files:
        name = "SolverParameter" if "solver" in file.name else "NetParameter"
        text = file.read_text()
        assert parse(text, name) == text_format.Parse(text, message(name)()), file


def test_ten_thousand_lines_take_well_under_half_a_second():
    block = (
        'layer {\n  name: "res2a"\n  type: "Convolution"\n  bottom: "a"\n  top: "b"\n  convolution_param {\n'
        "    num_output: 64\n    kernel_size: 3\n    pad: 1\n    stride: 1\n    bias_term: false\n  }\n}\n"
    )
    text = block * (10_000 // block.count("\n") + 1)
    start = time.perf_counter()
    parse(text)
    assert time.perf_counter() - start < 0.5


def test_problems_can_be_had_with_what_was_read_in_spite_of_them():
    reading = read_text('name: "n"\nnam: "x"\nlayer { name: "a" }', "NetParameter", "f")
    assert [str(problem) for problem in reading.problems] == [
        "f:2:1: the net has no field 'nam'; did you mean 'name'?"
    ]
    assert (reading.message.name, reading.message.layer[0].name) == ("n", "a")
    assert reading.positions.locate(("layer", 0)).line == 3
