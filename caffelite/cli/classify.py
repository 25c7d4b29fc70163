"""``caffelite classify``: class probabilities of images, as Caffe's python/classify.py writes them."""

from __future__ import annotations

from time import perf_counter

from caffelite.cli.command import Command
from caffelite.cli.flags import Flag, Options
from caffelite.cli.pictures import PICTURES, net_options, whole_numbers


def _run(options: Options) -> int:
    from caffelite.classifier import Classifier
    from caffelite.tools.classify import array_file, classify, images_of, save_array

    source = options.arguments[0]
    target = array_file(options.arguments[1])
    files, images = images_of(source, options.text("ext"))
    classifier = Classifier(image_dims=whole_numbers(options, "images_dim"), **net_options(options))
    print("CPU mode")
    for file in files if len(files) > 1 else [source]:
        print(f"Loading file: {file}")
    began = perf_counter()
    predictions = classify(classifier, images, not options.switch("center_only"))
    print(f"Classified {len(predictions)} inputs.")
    print(f"Done in {perf_counter() - began:.2f} s.")
    print(f"Saving results into {target}")
    save_array(target, predictions)
    return 0


COMMAND = Command(
    "class probabilities of images, into a .npy file",
    _run,
    (
        *PICTURES,
        Flag(
            "images_dim",
            "256,256",
            "height and width that images are scaled to before they are cropped",
            "H,W",
        ),
        Flag("center_only", False, "the crop in the centre alone, not the mean of ten"),
        Flag("ext", "jpg", "ending of the images in a folder", "ENDING"),
    ),
    "INPUT OUTPUT.npy",
    "INPUT is an image, a folder of images, or an array of images (.npy). A row of the output is the net's "
    "first output for an image; those of a folder go by name.",
    (
        "caffelite classify --model_def net.prototxt --pretrained_model net.caffemodel cat.jpg out.npy",
        "caffelite classify --model_def net.prototxt --pretrained_model net.caffemodel images/ out.npy",
    ),
    (2, 2),
)
