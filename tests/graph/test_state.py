"""Which layers a state includes. Rules: ``Net::StateMeetsRule`` of BVLC Caffe."""

from __future__ import annotations

import pytest

from caffelite.errors import NetError
from caffelite.graph.problems import Problems
from caffelite.graph.state import State, filter_layers, net_state
from caffelite.prototxt.source import parse_net
from caffelite.types import Phase

INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'


def kept(rules: str, state: State) -> bool:
    """Whether a layer with these rules is in the net."""
    source = parse_net(f'layer {{ name: "l" type: "ReLU" bottom: "x" top: "y" {rules} }}')
    return bool(filter_layers(source, state)[0])


@pytest.mark.parametrize(
    ("rules", "state", "expected"),
    [
        ("", State(Phase.TEST), True),
        ("include { phase: TRAIN }", State(Phase.TRAIN), True),
        ("include { phase: TRAIN }", State(Phase.TEST), False),
        ("exclude { phase: TRAIN }", State(Phase.TRAIN), False),
        ("exclude { phase: TRAIN }", State(Phase.TEST), True),
        ("include { phase: TEST } include { phase: TRAIN }", State(Phase.TRAIN), True),
        ("include { min_level: 2 }", State(level=1), False),
        ("include { min_level: 2 }", State(level=2), True),
        ("include { max_level: 2 }", State(level=3), False),
        ("include { min_level: -3 max_level: -1 }", State(level=-1), True),
        ("include { min_level: 1 max_level: 3 }", State(level=4), False),
        ('include { stage: "a" }', State(stages=("b",)), False),
        ('include { stage: "a" stage: "b" }', State(stages=("a",)), False),
        ('include { stage: "a" stage: "b" }', State(stages=("b", "c", "a")), True),
        ('include { stage: "a" } include { stage: "b" }', State(stages=("b",)), True),
        ('include { not_stage: "a" }', State(stages=("b",)), True),
        ('include { not_stage: "a" not_stage: "b" }', State(stages=("b",)), False),
        ('include { stage: "a" not_stage: "b" }', State(stages=("a", "b")), False),
        ('include { phase: TEST stage: "a" }', State(Phase.TRAIN, stages=("a",)), False),
        ('exclude { phase: TEST stage: "a" }', State(Phase.TEST), True),
        ('exclude { phase: TEST stage: "a" }', State(Phase.TEST, stages=("a",)), False),
        ("exclude { min_level: 1 } exclude { phase: TEST }", State(Phase.TEST, level=0), False),
        ("include { }", State(Phase.TEST), True),  # a rule without parts is always met
        ("exclude { }", State(Phase.TEST), False),
    ],
)
def test_rules(rules: str, state: State, expected: bool) -> None:
    assert kept(rules, state) is expected


def test_notes_say_why() -> None:
    source = parse_net(
        'layer { name: "a" type: "ReLU" include { phase: TRAIN } }'
        'layer { name: "b" type: "ReLU" include { min_level: 3 } }'
        'layer { name: "c" type: "ReLU" include { stage: "deploy" } }'
        'layer { name: "d" type: "ReLU" include { not_stage: "quick" } }'
    )
    _, notes = filter_layers(source, State(Phase.TEST, 1, ("quick",)))
    assert notes == [
        "a is left out: phase TEST is not TRAIN",
        "b is left out: level 1 is under min_level 3",
        "c is left out: stage 'deploy' is not set",
        "d is left out: not_stage 'quick' is set",
    ]


def test_mixed_rules_are_refused() -> None:
    source = parse_net(
        'layer { name: "l" type: "ReLU"\n include { phase: TRAIN }\n exclude { stage: "s" } }', "net.prototxt"
    )
    with pytest.raises(
        NetError, match=r"layer 'l' \(ReLU\) at net.prototxt:3:2: expected include rules or exclude rules"
    ):
        filter_layers(source, State())


def test_mixed_rules_do_not_hide_other_errors(refused) -> None:
    message = refused(
        INPUT
        + 'layer { name: "a" type: "ReLU" bottom: "x" top: "a" include { phase: TRAIN } exclude { phase: TEST } }\n'
        + 'layer { name: "b" type: "ReLU" bottom: "a" top: "b" include { level: 1 } exclude { phase: TEST } }\n'.replace(
            "level", "min_level"
        )
        + 'layer { name: "c" type: "Nonsense" bottom: "a" top: "c" }\n'
    )
    assert message.count("expected include rules or exclude rules") == 2
    assert "net.prototxt:4" in message and "unknown type 'Nonsense'" in message
    assert "bottom 'a'" not in message  # the layer with mixed rules is there for its readers


def test_problems_take_what_would_be_raised() -> None:
    source = parse_net('layer { name: "l" type: "ReLU" include { phase: TRAIN } exclude { phase: TEST } }')
    problems = Problems()
    entries, _ = filter_layers(source, State(Phase.TRAIN), problems)
    assert len(problems.errors) == 1
    assert [entry.message.name for entry in entries] == ["l"]


def test_the_nets_own_state_adds_stages_only() -> None:
    source = parse_net('state { phase: TEST level: 7 stage: "own" }')
    assert net_state(source, Phase.TRAIN, 2, ("asked",)) == State(Phase.TRAIN, 2, ("own", "asked"))


def test_graph_uses_the_nets_own_stages(graph) -> None:
    text = (
        'state { stage: "own" level: 5 }'
        + INPUT
        + (
            'layer { name: "a" type: "ReLU" bottom: "x" top: "a" include { stage: "own" } }'
            'layer { name: "b" type: "ReLU" bottom: "x" top: "b" include { min_level: 1 } }'
        )
    )
    assert [node.name for node in graph(text).nodes] == ["in", "a"]
    assert [node.name for node in graph(text, state=State(Phase.TEST)).nodes] == [
        "in"
    ]  # a solver has merged already
    assert [node.name for node in graph(text, level=1, stages=("s",)).nodes] == [
        "in",
        "x_in_0_split",
        "a",
        "b",
    ]


def test_a_layers_own_phase_stays(graph) -> None:
    text = (
        INPUT
        + 'layer { name: "d" type: "Dropout" bottom: "x" top: "d" phase: TEST } layer { name: "e" type: "Dropout" bottom: "d" top: "e" }'
    )
    nodes = graph(text, Phase.TRAIN).nodes
    assert [node.layer.phase for node in nodes] == [Phase.TRAIN, Phase.TEST, Phase.TRAIN]
    assert [Phase(node.layer.spec.phase) for node in nodes] == [Phase.TRAIN, Phase.TEST, Phase.TRAIN]


def test_the_source_is_not_changed(graph) -> None:
    source = parse_net(
        INPUT
        + 'layer { name: "a" type: "ReLU" bottom: "x" top: "a" loss_weight: 1 } layer { name: "b" type: "ReLU" bottom: "a" top: "b" }'
    )
    from caffelite.graph.build import build_graph

    before = source.message.SerializeToString()
    build_graph(source, Phase.TRAIN)
    assert source.message.SerializeToString() == before
