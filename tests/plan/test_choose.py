"""Kernels and their reasons, and activations that vanish into the layer before them."""

from __future__ import annotations

import pytest

from caffelite.engine import get_engine
from caffelite.types import Phase

INPUT = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 4 } } }\n'


def conv(outputs: int = 4) -> str:
    return f'layer {{ name: "conv" type: "Convolution" bottom: "x" top: "y" convolution_param {{ num_output: {outputs} kernel_size: 3 }} }}\n'


def relu(bottom: str = "y", top: str = "y", extra: str = "", name: str = "relu") -> str:
    return f'layer {{ name: "{name}" type: "ReLU" bottom: "{bottom}" top: "{top}" {extra} }}\n'


END = 'layer { name: "end" type: "Sigmoid" bottom: "%s" top: "end" loss_weight: 1 }\n'


def test_the_first_kernel_without_objection(planned) -> None:
    assert planned(INPUT + conv(5)).step("conv").kernel.name == "picky"
    step = planned(INPUT + conv(4)).step("conv")
    assert (step.kernel.name, step.reasons) == ("fusing", ["not picky: it takes 5 channels only"])


def test_the_array_body_comes_last(planned) -> None:
    step = planned(INPUT + relu("x", "r")).step("relu")
    assert (step.kernel.name, step.reasons) == ("array", [])


def test_an_engine_says_what_it_has_not(planned) -> None:
    lrn = 'layer { name: "lrn" type: "LRN" bottom: "x" top: "lrn" }'
    step = planned(INPUT + lrn).step("lrn")
    assert (step.kernel.name, step.reasons) == ("array", ["no kernel at all"])


def test_the_reference_engine_has_array_bodies_alone(planned) -> None:
    plan = planned(INPUT + conv() + relu() + END % "y", engine=get_engine("reference"))
    assert {step.kernel.name for step in plan.steps} == {"array"}


@pytest.mark.parametrize(
    ("text", "observe", "fused"),
    [
        (relu() + END % "y", True, True),
        (relu() + END % "y", False, True),
        (relu("y", "r") + END % "r", True, False),  # the value in between has a name, and users may look
        (relu("y", "r") + END % "r", False, True),
        (relu("y", "r", "loss_weight: 1"), False, True),
        (relu() + relu("y", "z", name="second") + END % "z", False, True),
        (END % "y", False, False),
        (
            relu(extra="relu_param { negative_slope: -1 }") + END % "y",
            True,
            False,
        ),  # its backward reads what would be gone
        (relu("y", "r") + relu("y", "q", name="second") + END % "r", False, False),  # a Split stands between
    ],
)
def test_fusion(planned, text: str, observe: bool, fused: bool) -> None:
    plan = planned(INPUT + conv() + text, observe=observe)
    conv_step, relu_step = plan.step("conv"), plan.step("relu")
    assert (conv_step.absorbs is not None) is fused
    if relu_step is not None:
        assert (relu_step.absorbed_by is conv_step) is fused
        assert (conv_step.absorbs is relu_step) is fused
    assert planned(INPUT + conv() + text, observe=observe, fuse=False).step("conv").absorbs is None


def test_a_value_that_counts_in_the_loss_stays(planned) -> None:
    text = INPUT + conv().replace('top: "y"', 'top: "y" loss_weight: 1') + relu("y", "r") + END % "r"
    assert planned(text, observe=False).step("conv").absorbs is None


def test_without_backward_nobody_reads_the_value_in_between(planned) -> None:
    text = INPUT + conv() + relu(extra="relu_param { negative_slope: -1 }")
    assert planned(text, Phase.TEST, observe=False, backward=False).step("conv").absorbs is not None


def test_a_kernel_that_reads_its_own_top_keeps_it(planned) -> None:
    """BatchNorm's backward reads y: with ReLU applied to y in place it would read something else."""
    text = INPUT + conv() + 'layer { name: "bn" type: "BatchNorm" bottom: "y" top: "y" }' + relu() + END % "y"
    assert planned(text).step("bn").absorbs is None
    assert "bn (BatchNorm) reads" in str(planned(text)).replace("'", "")
    assert planned(text, Phase.TEST, backward=False).step("bn").absorbs is not None


def test_the_absorbed_layer_keeps_its_backward(planned) -> None:
    plan = planned(INPUT + conv() + relu() + END % "y")
    assert plan.step("relu").node.propagate == (True,)
    text = str(plan)
    assert "fusing+ReLU" in text and "in conv" in text


def test_a_fallback_has_a_reason(planned, random_net) -> None:
    """Where the engine has a kernel for a type and the array body runs, the plan says why."""
    engine = get_engine("cpu")
    for seed in range(40):
        plan = planned(random_net(seed).text, engine=engine)
        for step in plan.steps:
            silent = step.kernel.name == "array" and not step.reasons and not step.view
            assert not silent or not engine.kernels(step.node.type), (
                f"{step.node.name} ({step.node.type}) of\n{plan}"
            )
