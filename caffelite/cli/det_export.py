"""``caffelite det export``: a detector as an ONNX model."""

from __future__ import annotations

from pathlib import Path

from caffelite.cli.command import Command
from caffelite.cli.detectors import DETECTOR, load_detector
from caffelite.cli.flags import Flag, Options
from caffelite.errors import ExportError, UsageError


def _run(options: Options) -> int:
    from caffelite.atomic import check_target, make_folder
    from caffelite.detection.detector import Detector
    from caffelite.detection.exporting import export_onnx

    output = options.text("o")
    if not output.endswith(".onnx"):
        raise UsageError(f"-o: expected a name that ends in .onnx, got '{output}'")
    detector = load_detector(options)
    if not isinstance(detector, Detector):
        fix = "caffelite export onnx RUN/test.prototxt RUN/detector.caffemodel -o net.onnx"
        raise ExportError(f"an R-CNN is a net for windows and SVMs beside it\n  Fix: {fix}, for the net")
    make_folder(Path(output).parent)
    check_target(output)
    report = export_onnx(
        detector, output, size=_size(options.text("size")), regions=options.integer("regions"),
        opset=options.integer("opset"), check=options.switch("check"),
    )  # fmt: skip
    print(report)
    print(f"Wrote {output}.json: classes, means, and how boxes are coded")
    return 0


def _size(text: str) -> tuple[int, int]:
    """H and W of ``HxW``; zeros for nothing."""
    if not text:
        return 0, 0
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise UsageError(f"--size: expected HEIGHTxWIDTH, such as 600x800, got '{text}'")
    return int(height), int(width)


COMMAND = Command(
    "a Fast or Faster R-CNN as an ONNX model, checked on the spot, with JSON beside it",
    _run,
    (
        Flag("o", "", "the file to write", "FILE.onnx"),
        Flag("size", "", "height and width of the input, such as 600x800; by default the short side twice", "HxW"),
        Flag("regions", 300, "fast: number of regions", "N"),
        Flag("opset", 17, "version of the operators, 13 to 21", "N"),
        Flag("check", True, "run the model in onnxruntime and compare it with the net"),
        *DETECTOR,
    ),
    "RUN",
    "RUN is a detector's folder, or its prototxt for testing. Smaller images are put into the upper left corner, and im_info "
    "tells their height, width and scale. Boxes are decoded, and overlapping ones suppressed, by the program that runs the model.",
    ("caffelite det export runs/shapes -o shapes.onnx", "caffelite det export runs/vgg16 -o vgg16.onnx --size 600x800"),
    (1, 1),
)  # fmt: skip
