"""Text that is wrong: each message, its place, and that reading goes on behind it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffelite.errors import NetError, PrototxtError
from caffelite.prototxt.text import parse_text


def problems(text, name="NetParameter"):
    with pytest.raises(PrototxtError) as caught:
        parse_text(text, name, "f")
    return str(caught.value).splitlines()


def in_layer(text):
    """Problems of a second line inside a layer."""
    return problems(f'layer {{ name: "a"\n{text}\n}}')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # unknown fields
        ('botom: "x"', "f:2:1: layer has no field 'botom'; did you mean 'bottom'?"),
        ('Bottom: "x"', "f:2:1: layer has no field 'Bottom'; did you mean 'bottom'?"),
        (
            "convolution_param { num_ouput: 3 }",
            "f:2:21: convolution_param has no field 'num_ouput'; did you mean 'num_output'?",
        ),
        (
            "convolution_param { kernel: 3 }",
            "f:2:21: convolution_param has no field 'kernel'; did you mean 'kernel_size'?",
        ),
        ("pooling_param { padding: 3 }", "f:2:17: pooling_param has no field 'padding'; did you mean 'pad'?"),
        ("shoe_size: 43", "f:2:1: layer has no field 'shoe_size'"),
        ("shoe { size: 43 depth { } }", "f:2:1: layer has no field 'shoe'"),
        ("shoe: [ { size: 43 } ]", "f:2:1: layer has no field 'shoe'"),
        # wrong values
        (
            "pooling_param { pool: AVG }",
            "f:2:23: pool: expected one of MAX, AVE, STOCHASTIC (or 6 of forks), "
            "got 'AVG'; did you mean 'AVE'?",
        ),
        (
            "include { phase: Train }",
            "f:2:18: phase: expected one of TRAIN, TEST, got 'Train'; did you mean 'TRAIN'?",
        ),
        ("include { phase: 2 }", "f:2:18: phase: expected one of TRAIN, TEST, got 2"),
        ('include { phase: "TEST" }', 'f:2:18: phase: expected one of TRAIN, TEST, got "TEST" in quotes'),
        ("convolution_param { stride: -1 }", "f:2:29: stride: expected an integer from 0 on, got -1"),
        ("convolution_param { stride: 1.5 }", "f:2:29: stride: expected an integer, got 1.5"),
        ("convolution_param { stride: 3x3 }", "f:2:29: stride: expected an integer, got 3x3"),
        ("convolution_param { stride: 09 }", "f:2:29: stride: expected an integer, got 09"),
        ('convolution_param { stride: "2" }', 'f:2:29: stride: expected an integer, got "2"'),
        (
            "convolution_param { stride: 4294967296 }",
            "f:2:29: stride: expected an integer from 0 to 4294967295, got 4294967296",
        ),
        (
            "accuracy_param { axis: -2147483649 }",
            "f:2:24: axis: expected an integer from -2147483648 to 2147483647, got -2147483649",
        ),
        ("power_param { scale: abc }", "f:2:22: scale: expected a number, got 'abc'"),
        ("power_param { scale: 0x10 }", "f:2:22: scale: expected a number, got 0x10"),
        ("power_param { scale: 1.2.3 }", "f:2:22: scale: expected a number, got 1.2.3"),
        (
            "convolution_param { bias_term: yes }",
            "f:2:32: bias_term: expected true or false, got 'yes'; did you mean 'true'?",
        ),
        (
            "convolution_param { bias_term: TRUE }",
            "f:2:32: bias_term: expected true or false, got 'TRUE'; did you mean 'true'?",
        ),
        ("convolution_param { bias_term: 2 }", "f:2:32: bias_term: expected true or false, got 2"),
        (r'type: "\q"', r"f:2:7: type: unknown escape '\q' in a string"),
        (r'type: "\377"', r'f:2:7: type: "\377" holds bytes that are not UTF-8'),
        ('bottom: ["a", 5]', "f:2:15: bottom: expected a string in quotes, got 5"),
        ('bottom: ["a" 5]', "f:2:14: expected ',' or ']' in a list, got '5'"),
        # form
        ('type "ReLU"', "f:2:6: expected ':' after 'type', got \"ReLU\""),
        ("type:", "f:3:1: type: expected a value, got '}'"),
        ('type: bottom: "x"', "f:2:7: type: expected a value, got 'bottom'"),
        ('name: "b"', "f:2:1: 'name' is given twice, first at line 1"),
        ("relu_param {} relu_param {}", "f:2:15: 'relu_param' is given twice, first at line 2"),
        ("relu_param: 5", "f:2:13: expected '{' after 'relu_param', got '5'"),
        ("relu_param: [{}]", "f:2:13: 'relu_param' takes one value, not a list"),
        ("type: {}", "f:2:7: type: expected a string in quotes, got '{'"),
        ("clip_param { min: 0 }", "f:2:1: clip_param has no 'max', which it needs"),
        (';; top: "b"', "f:2:2: expected the name of a field, got ';'"),
        ("relu_param { >", "f:2:14: expected '}' to close 'relu_param' opened at line 2, got '>'"),
        ("5: 6", "f:2:1: expected the name of a field, got '5'"),
        ("[caffe.ext]: 6", "f:2:1: expected the name of a field, got '['"),
    ],
)
def test_each_problem_is_the_only_one_reported(text, expected):
    assert [line for line in in_layer(text) if not line.startswith("  Fix:")] == [expected]


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("type: ReLU", 'write "ReLU"'),
        (
            "num_output: 5",
            "'num_output' belongs in convolution_param or inner_product_param or embed_param { ... }",
        ),
        ('type: "InnerProduct" num_output: 5', "'num_output' belongs in inner_product_param { ... }"),
        ('type: "Deconvolution" num_output: 5', "'num_output' belongs in convolution_param { ... }"),
        ("lr_mult: 5", "'lr_mult' belongs in param { ... }"),
        ("blobs_lr: 5", "write param { lr_mult: ... }, one for each blob"),
        ('relu_param { top: "x" }', "'top' belongs in layer; close relu_param before it"),
        ("power_param { scale: 1e39 }", "write inf if that is meant"),
        ("// a comment { }", "comments start with #"),
    ],
)
def test_cures(text, fix):
    assert in_layer(text)[1:] == [f"  Fix: {fix}"]


def test_the_file_of_a_solver_taken_for_a_net():
    assert problems('net: "a"\n') == [
        "f:1:1: the net has no field 'net'",
        "  Fix: 'net' belongs in a solver; is this the file of a solver?",
    ]
    assert "belongs in a net" in problems("layer { }", "SolverParameter")[1]


def test_a_binary_file_is_named_as_such():
    assert problems(b"\x0a\x03abc\x00\xff") == ["f:1:1: this is a binary file, not a prototxt"]


def test_unclosed_string():
    assert in_layer('type: "ReLU\ntop: 5') == [
        'f:2:7: type: the string "ReLU has no closing quote on its line',
        "f:3:6: top: expected a string in quotes, got 5",
    ]


def test_an_unclosed_string_leaves_the_brace_behind_it():
    assert problems('layer { name: "a }\nlayer { }') == [
        'f:1:15: name: the string "a has no closing quote on its line'
    ]


def test_unclosed_message_at_the_end():
    assert problems("layer {\n  relu_param {\n") == [
        "f:3:1: expected '}' to close 'relu_param' opened at line 2, got the end of the file",
        "f:3:1: expected '}' to close 'layer' opened at line 1, got the end of the file",
    ]


def test_a_missing_brace_is_found_where_the_next_layer_starts():
    text = 'layer {\n  name: "a"\n  relu_param {\n}\nlayer {\n  name: "b"\n}\nlayer { bottom: 5 }'
    assert problems(text) == [
        "f:5:1: expected '}' to close 'layer' opened at line 1, got 'layer'",
        "f:8:17: bottom: expected a string in quotes, got 5",
    ]


def test_a_missing_brace_inside_a_layer():
    text = (
        'layer {\n  convolution_param {\n    weight_filler { type: ""\n    bias_filler { }\n  }\n}\nlayer{}'
    )
    assert problems(text) == [
        "f:4:5: expected '}' to close 'weight_filler' opened at line 3, got 'bias_filler'"
    ]


def test_a_stray_brace():
    assert problems("layer { }\n}\nlayer { type: 5 }") == [
        "f:2:1: '}' closes nothing",
        "f:3:15: type: expected a string in quotes, got 5",
    ]


def test_a_misspelt_message_is_checked_inside():
    assert in_layer("convolution_parm { num_output: 3 kernel_size: x }") == [
        "f:2:1: layer has no field 'convolution_parm'; did you mean 'convolution_param'?",
        "f:2:47: kernel_size: expected an integer, got 'x'",
    ]


def test_bytes_in_strings_must_be_utf8():
    assert problems(b'name: "caf\xe9"') == [
        r"""f:1:7: name: "caf\udce9" holds bytes that are not UTF-8""",
        "  Fix: save the file as UTF-8",
    ]


def test_six_mistakes_six_places():
    text = """name: "lenet"
layer {
  name: "conv1"
  type: "Convolution"
  botom: "data"
  top: "conv1"
  convolution_param {
    num_ouput: 20
    kernel_size: -5
    weight_filler { type: xavier }
  }
}
layer {
  name: "pool1" type: "Pooling"
  pooling_param { pool: max }
  stride: 2
}
"""
    with pytest.raises(PrototxtError) as caught:
        parse_text(text, "NetParameter", "lenet.prototxt")
    places = [(p.location.line, p.location.column) for p in caught.value.problems]
    assert places == [(5, 3), (8, 5), (9, 18), (10, 27), (15, 25), (16, 3)]
    assert {p.location.file for p in caught.value.problems} == {"lenet.prototxt"}
    assert isinstance(caught.value, NetError) and caught.value.exit_code == 2


PIECES = [
    *"{}<>[]:;,-#\"'\\\n\r\t ",
    *("layer", "layers", "name", "type", "pooling_param", "clip_param", "convolution_param", "phase", "nam"),
    *("kernel_size", "pool", "bias_term", "MAX", "true", "nan", "1", "-1", "1.5", "1e3", "0x1", '"a"', "'b'"),
    *("//", "\ufeff", "\udcff", "é", "\\x", "\\u12", "1e-", '"\\777"'),
]


@given(st.lists(st.sampled_from(PIECES), max_size=40), st.booleans())
def test_nothing_but_prototxt_errors_for_any_tokens(pieces, lenient):
    _reads_or_refuses(" ".join(pieces), lenient)
    _reads_or_refuses("".join(pieces), lenient)


@given(st.text(max_size=60))
def test_nothing_but_prototxt_errors_for_any_text(text):
    _reads_or_refuses(text, False)


@given(st.binary(max_size=60))
def test_nothing_but_prototxt_errors_for_any_bytes(data):
    _reads_or_refuses(data, True)


def _reads_or_refuses(text, lenient):
    try:
        parse_text(text, "NetParameter", "f", lenient=lenient)
    except PrototxtError as error:
        assert error.problems
        str(error).encode()  # a message can be printed whatever the text holds


@given(st.lists(st.sampled_from(PIECES), max_size=25))
def test_what_is_accepted_is_what_protobuf_accepts(pieces):
    from google.protobuf import text_format

    from caffelite.prototxt.schema import message

    text = " ".join(pieces)
    try:
        net = parse_text(text, "NetParameter", "f")[0]
    except PrototxtError:
        return
    assert text_format.Parse(text.removeprefix("\ufeff"), message("NetParameter")()).SerializePartialToString(
        deterministic=True
    ) == net.SerializePartialToString(deterministic=True)


def test_many_nested_openers_do_not_overflow():
    assert len(problems("x " + "{" * 100_000)) >= 1


def test_a_missing_opening_brace_is_one_problem():
    assert problems(
        'layer\n name: "a" type: "ReLU" }\nlayer { relu_param negative_slope: 1 engine: CAFFE } }'
    ) == [
        "f:2:2: expected '{' after 'layer', got 'name'",
        "f:3:20: expected '{' after 'relu_param', got 'negative_slope'",
    ]


def test_one_lost_token_is_one_problem():
    from caffelite.prototxt.tokens import tokenize

    text = """layer { name: "pool" type: "Pooling" bottom: "a" top: "b"
  pooling_param { pool: MAX kernel_size: 3 stride: 2 } include { phase: TRAIN } }
layer { name: "conv" type: "Convolution" bottom: "b" top: "c" param { lr_mult: 1 } param { lr_mult: 2 }
  convolution_param { num_output: 2 weight_filler { type: "xavier" } bias_filler { value: 1 } } }
"""
    for _, token, offset in tokenize(text)[:-1]:
        with pytest.raises(PrototxtError) as caught:
            parse_text(text[:offset] + text[offset + len(token) :], "NetParameter", "f")
        assert len(caught.value.problems) == 1, (token, offset, str(caught.value))


def test_the_message_of_a_file_with_very_many_problems_stays_short():
    with pytest.raises(PrototxtError) as caught:
        parse_text("botom: 1\n" * 5000, "NetParameter", "f")
    assert len(caught.value.problems) == 5000
    assert str(caught.value).endswith("\nand 4900 more problems")
    assert len(str(caught.value)) < 20_000
