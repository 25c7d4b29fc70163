"""The nets of R-CNN, Fast R-CNN and Faster R-CNN, with py-faster-rcnn's names of layers and blobs."""

from __future__ import annotations

from collections.abc import Sequence

from caffelite.detection.recipes.plan import Plan
from caffelite.detection.recipes.writer import NetText, gaussian
from caffelite.prototxt.compose import NONE, Fields

ANNOTATED = ("data", "im_info", "gt_boxes")
SAMPLED = ("data", "rois", "labels", "bbox_targets", "bbox_inside_weights", "bbox_outside_weights")
STDS = (0.1, 0.1, 0.2, 0.2)  # that a box's codes are divided by


def rcnn_train(plan: Plan) -> str:
    """Fine-tuning on windows of images."""
    net = NetText(plan.arch.title, f"R-CNN, {plan.arch.title}: fine-tuning.", training=True)
    window = {"source": "windows_train.txt", "batch_size": plan.numbers.window_batch}
    window |= {"fg_threshold": 0.5, "bg_threshold": 0.5, "fg_fraction": 0.25}
    window |= {"context_pad": plan.arch.pad, "crop_mode": "warp"}
    image = {"mirror": True, "crop_size": plan.arch.crop, "mean_value": plan.means}
    fields = {"transform_param": image, "window_data_param": window}
    net.layer("data", "WindowData", [], ["data", "label"], fields)
    scores = _window_scores(net, plan)
    net.layer("loss_cls", "SoftmaxWithLoss", [scores, "label"])
    net.layer("accuracy", "Accuracy", [scores, "label"])
    return str(net)


def rcnn_test(plan: Plan) -> str:
    """Windows in, probabilities of the classes out."""
    net = NetText(plan.arch.title, f"R-CNN, {plan.arch.title}: windows to probabilities.", training=False)
    _inputs(net, {"data": (1, 3, plan.arch.crop, plan.arch.crop)})
    net.layer("cls_prob", "Softmax", _window_scores(net, plan))
    return str(net)


def _window_scores(net: NetText, plan: Plan) -> str:
    x = plan.arch.body(net, "data", True)
    if plan.arch.crop_pool:
        x = net.pool("pool5", x, plan.arch.crop_pool, 2)
    rate = 10 if plan.arch.weights else 1  # a new layer among learned ones, as R-CNN had it
    return net.fc("cls_score", plan.arch.head(net, x), plan.classes, gaussian(0.01), rate=rate)


def fast_train(plan: Plan, *, stage: str = "", frozen: bool = False) -> str:
    """Regions of the data layer. ``frozen``: the body does not learn."""
    about = f"Fast R-CNN, {plan.arch.title}{stage}."
    net = NetText(plan.arch.title, about, training=True)
    _data(net, plan, SAMPLED)
    with net.frozen(frozen):
        x = plan.arch.body(net, "data", False)
    _region_losses(net, plan, x)
    return str(net)


def fast_test(plan: Plan) -> str:
    """An image and regions of it in, probabilities and codes of each region out."""
    net = NetText(plan.arch.title, f"Fast R-CNN, {plan.arch.title}.", training=False)
    _inputs(net, {"data": (1, 3, plan.side, plan.side), "rois": (1, 5)})
    _regions_out(net, plan, plan.arch.body(net, "data", False))
    return str(net)


def faster_train(plan: Plan) -> str:
    """Proposals and regions together: approximate joint training."""
    net = NetText(plan.arch.title, f"Faster R-CNN, {plan.arch.title}: joint training.", training=True)
    _data(net, plan, ANNOTATED)
    x = plan.arch.body(net, "data", False)
    _rpn(net, plan, x)
    _rpn_losses(net, plan)
    _proposals(net, plan, "rpn_rois", plan.numbers.train_topn)
    target = {"num_classes": plan.classes, "batch_size": plan.numbers.batch, "bbox_std": STDS}
    fields = {"proposal_target_param": target}
    net.layer("roi-data", "ProposalTarget", ["rpn_rois", "gt_boxes"], SAMPLED[1:], fields)
    _region_losses(net, plan, x)
    return str(net)


def faster_test(plan: Plan) -> str:
    """An image in, regions with their probabilities and codes out."""
    net = NetText(plan.arch.title, f"Faster R-CNN, {plan.arch.title}.", training=False)
    _inputs(net, {"data": (1, 3, plan.side, plan.side), "im_info": (1, 3)})
    x = plan.arch.body(net, "data", False)
    _rpn(net, plan, x)
    _proposals(net, plan, "rois", plan.numbers.test_topn)
    _regions_out(net, plan, x)
    return str(net)


def rpn_train(plan: Plan, *, stage: str = "", frozen: bool = False) -> str:
    """The region proposal network alone; the head's weights pass through it unchanged, so one file holds all."""
    about = f"Region proposal network, {plan.arch.title}{stage}."
    net = NetText(plan.arch.title, about, training=True)
    _data(net, plan, ANNOTATED)
    with net.frozen(frozen):
        x = plan.arch.body(net, "data", False)
    _rpn(net, plan, x)
    _rpn_losses(net, plan)
    net.comment("The head, which does not learn here: its weights go with the others'.")
    shape = {"dim": [1, plan.arch.channels, plan.arch.pooled, plan.arch.pooled]}
    dummy = net.layer("dummy_roi_pool5", "DummyData", [], fields={"dummy_data_param": {"shape": shape}})
    with net.frozen():
        features = plan.arch.head(net, dummy)
    net.layer("silence_head", "Silence", features, [])
    return str(net)


def rpn_test(plan: Plan) -> str:
    """An image in, proposals out."""
    net = NetText(plan.arch.title, f"Region proposal network, {plan.arch.title}.", training=False)
    _inputs(net, {"data": (1, 3, plan.side, plan.side), "im_info": (1, 3)})
    _rpn(net, plan, plan.arch.body(net, "data", False))
    _proposals(net, plan, ["rois", "scores"], (0, plan.numbers.train_topn[1]))
    return str(net)


# -- parts ---------------------------------------------------------------------------------------------------


def _inputs(net: NetText, shapes: dict[str, Sequence[int]]) -> None:
    for name, shape in shapes.items():
        net.layer(name, "Input", [], fields={"input_param": {"shape": {"dim": shape}}})


def _data(net: NetText, plan: Plan, tops: Sequence[str]) -> None:
    module = {"module": "roi_data_layer.layer", "layer": "RoIDataLayer"}
    param = module | {"param_str": f"'num_classes': {plan.classes}"}
    net.layer("input-data", "Python", [], tops, {"python_param": param})


def _rpn(net: NetText, plan: Plan, x: str) -> None:
    """Scores and codes of the anchors, A of them at each position of the map."""
    net.comment("Region proposal network")
    fields = {"num_output": plan.arch.rpn, "kernel_size": 3, "pad": 1}
    conv, relu, top = plan.arch.rpn_layers
    x = net.relu(relu, net.conv(conv, x, fields, gaussian(0.01), top=top))
    for name, values in (("rpn_cls_score", 2), ("rpn_bbox_pred", 4)):
        net.conv(name, x, {"num_output": values * plan.count, "kernel_size": 1}, gaussian(0.01))
    _reshape(net, "rpn_cls_score_reshape", "rpn_cls_score", 2)


def _reshape(net: NetText, name: str, bottom: str, channels: int) -> None:
    net.layer(name, "Reshape", bottom, fields={"reshape_param": {"shape": {"dim": [0, channels, -1, 0]}}})


def _rpn_losses(net: NetText, plan: Plan) -> None:
    n, part = plan.numbers, "rpn_bbox_"
    target = {**plan.anchor_fields, "allowed_border": n.allowed_border, "batch_size": n.rpn_batch}
    net.layer(
        "rpn-data",
        "AnchorTarget",
        ["rpn_cls_score", "gt_boxes", "im_info", "data"],
        ["rpn_labels", f"{part}targets", f"{part}inside_weights", f"{part}outside_weights"],
        {"anchor_target_param": target},
    )
    bottoms = ["rpn_cls_score_reshape", "rpn_labels"]
    net.layer("rpn_loss_cls", "SoftmaxWithLoss", bottoms, "rpn_cls_loss", _class_loss(ignore_label=-1))
    bottoms = [f"{part}pred", f"{part}targets", f"{part}inside_weights", f"{part}outside_weights"]
    fields = {"loss_weight": 1, "smooth_l1_loss_param": {"sigma": 3}}
    net.layer("rpn_loss_bbox", "SmoothL1Loss", bottoms, fields=fields)


def _class_loss(**fields: object) -> Fields:
    return {"propagate_down": [True, False], "loss_weight": 1, **({"loss_param": fields} if fields else NONE)}


def _proposals(net: NetText, plan: Plan, tops: str | Sequence[str], topn: tuple[int, int]) -> None:
    net.layer("rpn_cls_prob", "Softmax", "rpn_cls_score_reshape")
    _reshape(net, "rpn_cls_prob_reshape", "rpn_cls_prob", 2 * plan.count)
    pre, post = topn
    limits = {"min_size": plan.numbers.min_size, "pre_nms_topn": pre, "post_nms_topn": post}
    bottoms = ["rpn_cls_prob_reshape", "rpn_bbox_pred", "im_info"]
    net.layer("proposal", "Proposal", bottoms, tops, {"proposal_param": {**plan.anchor_fields, **limits}})


def _regions(net: NetText, plan: Plan, x: str) -> None:
    """Scores and codes of the regions."""
    net.comment("Regions")
    side = {"pooled_w": plan.arch.pooled, "pooled_h": plan.arch.pooled}
    fields = {"roi_pooling_param": {**side, "spatial_scale": 1 / plan.arch.stride}}
    features = plan.arch.head(net, net.layer("roi_pool5", "ROIPooling", [x, "rois"], fields=fields))
    net.fc("cls_score", features, plan.classes, gaussian(0.01))
    net.fc("bbox_pred", features, 4 * plan.classes, gaussian(0.001))


def _region_losses(net: NetText, plan: Plan, x: str) -> None:
    _regions(net, plan, x)
    net.layer("loss_cls", "SoftmaxWithLoss", ["cls_score", "labels"], fields=_class_loss())
    bottoms = ["bbox_pred", *SAMPLED[3:]]
    net.layer("loss_bbox", "SmoothL1Loss", bottoms, fields={"loss_weight": 1})


def _regions_out(net: NetText, plan: Plan, x: str) -> None:
    _regions(net, plan, x)
    net.layer("cls_prob", "Softmax", "cls_score")
