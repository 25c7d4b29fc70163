"""Recipes: nets that build, with the published names; what is chosen for a data set."""

import runpy
from pathlib import Path

import numpy as np
import pytest

import caffelite
from caffelite.detection.card import Card
from caffelite.detection.dataset import load_set
from caffelite.detection.recipes import ARCHS, PRESETS, choose, init, recipe, write_recipe
from caffelite.detection.roidb import make_roidb
from caffelite.detection.settings import settings
from caffelite.detection.shapes import make_shapes
from caffelite.errors import UsageError
from caffelite.graph.build import build_graph
from caffelite.prototxt.source import parse_net, read_solver
from caffelite.solver.check import check_solver
from caffelite.types import Phase
from tests.detection.sets import dataset, picture

MODELS = Path(__file__).resolve().parents[2] / "models" / "detection"
METHODS = ("fast", "faster", "faster-4step")

HEADS = {"cls_score": [(21, 4096), (21,)], "bbox_pred": [(84, 4096), (84,)]}
ZF = {
    "conv1": [(96, 3, 7, 7), (96,)],
    "conv2": [(256, 96, 5, 5), (256,)],
    "conv3": [(384, 256, 3, 3), (384,)],
    "conv4": [(384, 384, 3, 3), (384,)],
    "conv5": [(256, 384, 3, 3), (256,)],
    "rpn_conv1": [(256, 256, 3, 3), (256,)],  # so in the published weights, which are those of the four steps
    "rpn_cls_score": [(18, 256, 1, 1), (18,)],
    "rpn_bbox_pred": [(36, 256, 1, 1), (36,)],
    "fc6": [(4096, 9216), (4096,)],
    "fc7": [(4096, 4096), (4096,)],
} | HEADS
BLOCKS = {1: (2, 3, 64), 2: (2, 64, 128), 3: (3, 128, 256), 4: (3, 256, 512), 5: (3, 512, 512)}
VGG16 = (
    {
        f"conv{block}_{i}": [(outputs, inputs if i == 1 else outputs, 3, 3), (outputs,)]
        for block, (convs, inputs, outputs) in BLOCKS.items()
        for i in range(1, convs + 1)
    }
    | {
        "rpn_conv/3x3": [(512, 512, 3, 3), (512,)],
        "rpn_cls_score": [(18, 512, 1, 1), (18,)],
        "rpn_bbox_pred": [(36, 512, 1, 1), (36,)],
        "fc6": [(4096, 25088), (4096,)],
        "fc7": [(4096, 4096), (4096,)],
    }
    | HEADS
)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    return load_set(make_shapes(tmp_path_factory.mktemp("sets") / "shapes", images=6, test=1), "train")


def graphs(texts):
    """The graph of each net among the files of a recipe."""
    for name, text in texts.items():
        if not name.endswith("solver.prototxt"):
            phase = Phase.TRAIN if name.endswith("train.prototxt") else Phase.TEST
            yield name, build_graph(parse_net(text, name), phase)


def parameters(graph):
    return {node.name: [use.spec.shape for use in node.params] for node in graph.nodes if node.params}


def frozen(graph):
    """Names of the layers that do not learn, normalisation left out."""
    learned = {"Convolution", "InnerProduct", "Scale"}
    return {
        node.name for node in graph.nodes if node.type in learned and not any(u.lr_mult for u in node.params)
    }


def test_committed_files_are_the_generators_output(tmp_path):
    write = runpy.run_path(str(MODELS / "generate.py"))["write_all"]
    for path in write(tmp_path):
        committed = MODELS / path.relative_to(tmp_path)
        assert committed.read_text(encoding="utf-8") == path.read_text(encoding="utf-8"), (
            "run: python models/detection/generate.py"
        )


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("method", METHODS)
def test_nets_build_and_test_nets_hold_what_training_learned(arch, method):
    card = choose(arch=arch, method=method, classes=("cat", "dog")).card
    built = dict(graphs(recipe(card)))
    tested = parameters(built["test.prototxt"])
    trained = {}
    for graph in built.values():
        if graph.phase == Phase.TRAIN:
            trained |= parameters(graph)
            assert graph.node("input-data").type == "Python"
    assert trained == tested
    assert built["test.prototxt"].outputs == ["bbox_pred", "cls_prob"]
    assert tested["cls_score"][0][0] == 3 and tested["bbox_pred"][0][0] == 12


@pytest.mark.parametrize("arch", ARCHS)
def test_rcnn_nets_build(arch, shapes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image = shapes.pictures[0].path
    Path("windows_train.txt").write_text(f"# 0\n{image}\n3\n128\n128\n2\n1 1 0 0 50 50\n0 0 60 60 90 90\n")
    card = choose(arch=arch, method="rcnn", classes=("cat", "dog")).card
    train, test = (graph for _, graph in graphs(recipe(card)))
    train.close()
    assert parameters(train) == parameters(test)
    assert test.blobs["cls_prob"].shape == (1, 3)
    assert test.inputs == ["data"]


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("method", [*METHODS, "rcnn"])
@pytest.mark.parametrize("preset", PRESETS)
def test_solvers_are_valid(arch, method, preset, tmp_path):
    choice = choose(arch=arch, method=method, classes=("cat",), preset=preset)
    paths = write_recipe(tmp_path, choice.card, **choice.options)
    solvers = [path for path in paths if path.name.endswith("solver.prototxt")]
    assert len(solvers) == (4 if method == "faster-4step" else 1)
    for path in solvers:
        source = read_solver(path)
        assert not check_solver(source)
        assert tmp_path / source.message.train_net in paths


@pytest.mark.parametrize(("arch", "expected"), [("zf", ZF), ("vgg16", VGG16)])
def test_names_and_shapes_are_those_of_the_published_detectors(arch, expected):
    card = choose(arch=arch, method="faster", classes=[f"class{i}" for i in range(20)]).card
    for _, graph in graphs(recipe(card)):
        assert parameters(graph) == expected


def test_what_is_frozen():
    def of(arch, method="faster"):
        built = dict(graphs(recipe(choose(arch=arch, method=method, classes=("cat",)).card)))
        return {name: frozen(graph) for name, graph in built.items() if graph.phase == Phase.TRAIN}

    assert of("vgg16")["train.prototxt"] == {"conv1_1", "conv1_2", "conv2_1", "conv2_2"}
    assert of("zf")["train.prototxt"] == of("tiny")["train.prototxt"] == set()
    resnet = of("resnet50")["train.prototxt"]
    convolutions = {name for name in resnet if name.startswith("res")}
    assert (
        convolutions == {name for name in convolutions if name.startswith("res2")} and len(convolutions) == 10
    )
    assert "scale5c_branch2c" in resnet
    stages, body = of("zf", "faster-4step"), {f"conv{i}" for i in range(1, 6)}
    assert stages["stage1_rpn_train.prototxt"] == {"fc6", "fc7"}
    assert stages["stage1_fast_train.prototxt"] == set()
    assert stages["stage2_rpn_train.prototxt"] == body | {"fc6", "fc7"}
    assert stages["stage2_fast_train.prototxt"] == body


def test_windows_teach_the_whole_backbone_and_the_classifier_ten_times_as_fast():
    def layers(arch):
        texts = recipe(choose(arch=arch, method="rcnn", classes=("cat",)).card)
        return {layer.name: layer for layer in parse_net(texts["train.prototxt"]).message.layer}

    for arch in ("caffenet", "vgg_cnn_m", "zf", "vgg16", "resnet50"):
        for name, layer in layers(arch).items():
            if layer.type in ("Convolution", "InnerProduct"):
                rate = 10 if name == "cls_score" else 1
                assert [param.lr_mult for param in layer.param] == [rate, 2 * rate][: len(layer.param)]
    assert [param.lr_mult for param in layers("tiny")["cls_score"].param] == [1, 2]


def test_zf_drops_without_scaling_as_published():
    assert "scale_train: false" in recipe(choose(arch="zf", classes=("cat",)).card)["train.prototxt"]
    assert "scale_train" not in recipe(choose(arch="vgg16", classes=("cat",)).card)["train.prototxt"]


@pytest.mark.parametrize("arch", ["caffenet", "vgg_cnn_m", "zf", "vgg16", "resnet50"])
def test_maps_keep_in_step_with_the_stride(arch):
    card = choose(arch=arch, method="faster", classes=("cat",)).card
    for _, graph in graphs(recipe(card)):
        scores = graph.blobs["rpn_cls_score"].shape
        height, width = graph.blobs["data"].shape[2:]
        assert abs(scores[2] - height / 16) <= 1.6 and abs(scores[3] - width / 16) <= 1.6


def test_anchors_stand_once_in_the_card_and_alike_in_all_layers():
    card = choose(classes=("cat",), method="faster").card
    assert card.anchors == {
        "feat_stride": 8, "base_size": 8, "scales": [2.5, 4.5, 8], "ratios": [0.5, 1, 2]
    }  # fmt: skip
    text = recipe(card)["train.prototxt"]
    fields = "feat_stride: 8 base_size: 8 ratio: 0.5 ratio: 1 ratio: 2 scale: 2.5 scale: 4.5 scale: 8"
    assert " ".join(text.split()).count(fields) == 2


def test_modern_settings():
    choice = choose(arch="resnet50", method="faster", classes=("cat",), preset="modern")
    assert (choice.card.scales, choice.card.max_size, choice.card.nms) == ((800,), 1333, 0.5)
    texts = recipe(choice.card, **choice.options)
    net = parse_net(texts["train.prototxt"]).message
    layers = {layer.name: layer for layer in net.layer}
    target, proposal = layers["rpn-data"].anchor_target_param, layers["proposal"].proposal_param
    assert [16 * scale for scale in target.scale] == [32, 64, 128, 256, 512]
    assert target.allowed_border == -1
    assert (proposal.pre_nms_topn, proposal.post_nms_topn, proposal.min_size) == (2000, 2000, 0)
    assert layers["roi-data"].proposal_target_param.batch_size == 512
    assert layers["rpn_cls_score"].convolution_param.num_output == 30
    assert "rampup_interval: 1000" in texts["solver.prototxt"]


@pytest.mark.parametrize("method", ["fast", "faster", "faster-4step"])
def test_a_small_net_learns_from_pictures(method, shapes, tmp_path):
    card = init(tmp_path, method=method, dataset=shapes)
    proposals = None
    if method == "fast":
        grid = np.array(
            [[x, y, x + 40, y + 40] for x in range(0, 80, 8) for y in range(0, 80, 8)], np.float32
        )
        proposals = {one.key: (grid, np.ones(len(grid), np.float32)) for one in shapes.pictures}
    name = "stage1_rpn_train.prototxt" if method == "faster-4step" else "train.prototxt"
    with settings(card):
        net = caffelite.Net(str(tmp_path / name), caffelite.TRAIN)
        roidb = make_roidb(shapes, flipped=True, proposals=proposals, num_classes=4)
        net.layers[0].set_roidb(roidb)
        losses = net.forward()
        net.backward()
    assert all(np.isfinite(value).all() and value.size == 1 for value in losses.values())
    assert np.abs(net.params["conv1"][0].diff).max() > 0
    if method != "fast":
        assert np.abs(net.params["rpn_conv/3x3"][0].diff).max() > 0


def test_a_small_net_finds_boxes_in_pictures_of_any_size(shapes, tmp_path):
    init(tmp_path, dataset=shapes)
    net = caffelite.Net(str(tmp_path / "test.prototxt"), caffelite.TEST)
    for height, width in ((64, 100), (130, 90)):
        net.blobs["data"].reshape(1, 3, height, width)
        net.blobs["im_info"].data[...] = height, width, 1
        found = net.forward()
        rois = net.blobs["rois"].data
        assert found["cls_prob"].shape == (len(rois), 4) and found["bbox_pred"].shape == (len(rois), 16)
        assert rois[:, 3].max() < width and rois[:, 4].max() < height


# -- what is chosen ------------------------------------------------------------------------------------------


def test_anchors_fit_the_boxes_of_the_set():
    large = [picture(f"p{i}", [[10 * i, 5, 10 * i + 199, 204]], size=(640, 480)) for i in range(20)]
    choice = choose(dataset=dataset(*large))
    assert choice.card.scales == (320,) and choice.card.classes == ("cat",)
    assert any("the usual 20, 36, 64" in reason for reason in choice.reasons)
    assert max(choice.card.anchors["scales"]) * 8 > 100
    assert choice.options["allowed_border"] in (-1, 8)


def test_small_objects_lower_the_least_side_of_proposals():
    small = picture("p", [[10, 10, 15, 15]], size=(128, 128))
    choice = choose(arch="zf", dataset=dataset(small))
    assert choice.options["min_size"] == 3
    assert any("sides of 3 pixels" in reason for reason in choice.reasons)


def test_anchors_as_large_as_the_picture_are_learned_outside_of_it():
    large = [picture(f"p{i}", [[0, 0, 255 - i, 255]], size=(256, 256)) for i in range(20)]
    assert choose(dataset=dataset(*large)).options["allowed_border"] == -1


def test_a_set_without_boxes_gets_the_usual_anchors():
    choice = choose(dataset=dataset(picture("p", [])))
    assert any("no boxes" in reason for reason in choice.reasons)


def test_iterations_shorten_all_stages_alike():
    card = choose(classes=("cat",), method="faster-4step").card
    texts = recipe(card, iterations=260)
    assert "max_iter: 260" in texts["stage1_fast_solver.prototxt"]
    assert "max_iter: 160" in texts["stage2_rpn_solver.prototxt"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"arch": "alexnet"}, "arch: expected one of tiny"),
        ({"method": "fastest"}, "did you mean 'fast"),
        ({"preset": "old"}, "preset: expected classic or modern"),
        ({"classes": ()}, "which classes"),
    ],
)
def test_what_there_is_not_is_refused(wrong, said):
    with pytest.raises(UsageError, match=said):
        choose(**{"classes": ("cat",)} | wrong)


def test_a_card_without_anchors_and_a_negative_number_are_refused():
    with pytest.raises(UsageError, match="anchors: expected base_size.*no base_size and no scales"):
        recipe(Card("faster", "tiny", ("cat",), anchors={"ratios": [1]}))
    with pytest.raises(UsageError, match="iterations: expected 1 or more"):
        recipe(choose(classes=("cat",)).card, iterations=-1)
    assert "test.prototxt" in recipe(Card("fast", "tiny", ("cat",)))


def test_an_option_that_there_is_not_is_refused(tmp_path):
    with pytest.raises(UsageError, match="btach"):
        init(tmp_path / "new", classes=("cat",), btach=3)
    assert not (tmp_path / "new").exists()
