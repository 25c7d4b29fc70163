"""Pictures through a net: classify, classification, detect; and pictures made smaller."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import caffelite
from caffelite.data.mean import write_mean
from caffelite.errors import UsageError
from caffelite.io import load_image
from caffelite.model import Model
from caffelite.tools.classification import Classification
from caffelite.tools.classify import ILSVRC_2012_MEAN, classify
from caffelite.tools.detect import read_windows
from caffelite.tools.resize_and_crop_images import resize_and_crop

from .conftest import Run, write_images

NET = """
name: "colours"
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 4 dim: {channels} dim: 8 dim: 8 }} }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
         inner_product_param {{ num_output: 6 weight_filler {{ type: "gaussian" std: 0.001 }} }} }}
layer {{ name: "prob" type: "Softmax" bottom: "ip" top: "prob" }}
"""
MODEL = "--model_def net.prototxt --pretrained_model net.caffemodel"


def make_net(channels: int = 3) -> Model:
    Path("net.prototxt").write_text(NET.format(channels=channels))
    model = Model("net.prototxt", seed=1)
    model.save("net.caffemodel")
    return model


@pytest.fixture
def images() -> list[Path]:
    write_images("images", (12, 10, 3), (9, 9, 3), (10, 14, 3))
    make_net()
    return sorted(Path("images").glob("*.png"))


# -- classify ----------------------------------------------------------------------------------------------------


def expected(
    paths: list[Path], oversample: bool = True, mean: np.ndarray | None = ILSVRC_2012_MEAN
) -> np.ndarray:
    net = caffelite.Classifier(
        "net.prototxt", "net.caffemodel", image_dims=(10, 9), mean=mean, raw_scale=255, channel_swap=(2, 1, 0)
    )
    return net.predict([load_image(path) for path in paths], oversample)


def test_a_folder_with_an_old_command_line(run: Run, images: list[Path]) -> None:
    result = run(f"classify.py {MODEL} --images_dim 10,9 --ext png images out.npy")
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0].startswith("Mean: 104.007") and "no --mean_file" in lines[0]
    assert [line for line in lines if line.startswith(("CPU", "Load", "Class", "Sav"))] == [
        "CPU mode", *(f"Loading file: {path}" for path in images), "Classified 3 inputs.", "Saving results into out.npy",
    ]  # fmt: skip
    np.testing.assert_allclose(np.load("out.npy"), expected(images), rtol=1e-5)


@pytest.mark.parametrize("flags", ["--center_only", "--mean_file= --center_only"])
def test_one_image(run: Run, images: list[Path], flags: str) -> None:
    assert run(f"classify {MODEL} --images_dim=10,9 {flags} {images[0]} out").code == 0
    mean = None if "mean" in flags else ILSVRC_2012_MEAN
    np.testing.assert_allclose(np.load("out.npy"), expected(images[:1], False, mean), rtol=1e-5)


def test_an_array_of_images(run: Run, images: list[Path]) -> None:
    array = np.stack([np.resize(load_image(path), (10, 9, 3)) for path in images])
    np.save("in.npy", array)
    assert run(f"classify {MODEL} --images_dim 10,9 in.npy out.npy").code == 0
    assert np.load("out.npy").shape == (3, 6)


@pytest.mark.parametrize("file", ["mean.npy", "mean.binaryproto"])
def test_mean_files_of_both_kinds(run: Run, images: list[Path], file: str) -> None:
    mean = np.random.default_rng(1).uniform(0, 255, (3, 8, 8)).astype(np.float32)
    np.save(file, mean) if file.endswith("npy") else write_mean(file, mean)
    assert run(f"classify {MODEL} --images_dim 10,9 --mean_file {file} {images[0]} out.npy").code == 0
    np.testing.assert_allclose(np.load("out.npy"), expected(images[:1], mean=mean), rtol=1e-5)


def test_many_images_go_in_parts(images: list[Path]) -> None:
    net = caffelite.Classifier("net.prototxt", "net.caffemodel", image_dims=(10, 9))
    many = [load_image(images[n % 3]) for n in range(35)]
    np.testing.assert_allclose(classify(net, iter(many), False), net.predict(many, False), rtol=1e-6)


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (
            "classify images/0.png out.npy",
            3,
            "'models/bvlc_reference_caffenet/deploy.prototxt' does not exist",
        ),
        (f"classify {MODEL} absent.jpg out.npy", 3, "'absent.jpg' does not exist"),
        (f"classify {MODEL} images out.npy", 3, "holds no file '*.jpg'"),
        (
            f"classify {MODEL} --images_dim 10x9 images/0.png out.npy",
            2,
            "--images_dim: expected whole numbers",
        ),
        (
            f"classify {MODEL} --raw_scale x images/0.png out.npy",
            2,
            "--raw_scale: expected a number, got 'x'",
        ),
        (f"classify {MODEL} --mean_file net.prototxt images/0.png out.npy", 3, "net.prototxt"),
        (
            f"classify {MODEL} --mean_file absent.npy images/0.png out.npy",
            3,
            "array 'absent.npy' does not exist",
        ),
        (f"classify {MODEL} bad.npy out.npy", 3, "'bad.npy' is no array of numbers"),
        (f"classify {MODEL} --gpu images/0.png out.npy", 5, "GPU 0: CuPy is not installed"),
        (f"classify {MODEL} --raw_scale nan images/0.png out.npy", 2, "expected a number, got 'nan'"),
        (f"classify {MODEL} images/0.png absent/out.npy", 1, "cannot write 'absent"),
        (f"classify {MODEL} --images_dim 4,4 images/0.png out.npy", 2, "crop"),
    ],
)
def test_what_cannot_be_classified(
    without_cupy, run: Run, images: list[Path], line: str, code: int, message: str
) -> None:
    Path("bad.npy").write_text("no array")
    result = run(line)
    assert result.code == code and message in result.err
    assert not Path("out.npy").exists()


# -- classification ----------------------------------------------------------------------------------------------


@pytest.fixture
def labels(images: list[Path]) -> np.ndarray:
    mean = np.random.default_rng(1).uniform(0, 255, (3, 5, 5)).astype(np.float32)
    write_mean("mean.binaryproto", mean)
    Path("labels.txt").write_text("".join(f"n{n} thing {n}\n" for n in range(6)))
    return mean.mean(axis=(1, 2))


def test_classification_of_an_old_command_line(run: Run, images: list[Path], labels: np.ndarray) -> None:
    import cv2

    result = run(f"classification net.prototxt net.caffemodel mean.binaryproto labels.txt {images[0]}")
    pixels = cv2.resize(cv2.imread(str(images[0])), (8, 8)).astype(np.float32) - labels
    prob = caffelite.load("net.prototxt", "net.caffemodel")(pixels.transpose(2, 0, 1))["prob"][0]
    best = np.argsort(-prob)[:5]
    assert result.code == 0 and result.out.splitlines() == [
        f"---------- Prediction for {images[0]} ----------",
        *(f'{prob[n]:.4f} - "n{n} thing {n}"' for n in best),
    ]


def test_fewer_classes_than_five_and_grey_nets(labels: np.ndarray, images: list[Path]) -> None:
    make_net(channels=1)
    write_mean("mean.binaryproto", np.zeros((1, 2, 2), np.float32))
    net = Classification("net.prototxt", "net.caffemodel", "mean.binaryproto", "labels.txt")
    assert len(net.classify(images[0], best=2)) == 2
    assert sum(score for _, score in net.classify(images[0], best=9)) == pytest.approx(1)


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("net.caffemodel mean.binaryproto few.txt images/0.png", 3, "Number of labels is different"),
        (
            "net.caffemodel grey.binaryproto labels.txt images/0.png",
            3,
            "Number of channels of mean file doesn't match",
        ),
        ("net.caffemodel mean.binaryproto labels.txt labels.txt", 3, "Unable to decode image labels.txt"),
        ("net.caffemodel mean.binaryproto labels.txt absent", 3, "image 'absent' does not exist"),
        ("net.caffemodel mean.binaryproto labels.txt", 2, "expected DEPLOY WEIGHTS MEAN LABELS PICTURE"),
    ],
)
def test_classifications_that_cannot_be(
    run: Run, labels: np.ndarray, line: str, code: int, message: str
) -> None:
    Path("few.txt").write_text("one\n")
    write_mean("grey.binaryproto", np.zeros((1, 2, 2), np.float32))
    result = run(f"classification net.prototxt {line}")
    assert result.code == code and message in result.err


# -- detect ------------------------------------------------------------------------------------------------------

WINDOWS = "filename,ymin,xmin,ymax,xmax\nimages/1.png,0,0,5,6\nimages/0.png,1,2,12,10\nimages/1.png,2,2,9,9\n"


def detections() -> list[dict[str, object]]:
    net = caffelite.Detector(
        "net.prototxt",
        "net.caffemodel",
        mean=ILSVRC_2012_MEAN,
        raw_scale=255,
        channel_swap=(2, 1, 0),
        context_pad=2,
    )
    windows = {"images/1.png": [(0, 0, 5, 6), (2, 2, 9, 9)], "images/0.png": [(1, 2, 12, 10)]}
    return net.detect_windows(windows.items())


def test_windows_of_a_list_into_csv(run: Run, images: list[Path]) -> None:
    """Caffe's script fails when it comes to write a CSV."""
    Path("in.csv").write_text(WINDOWS)
    result = run(f"detect.py {MODEL} --crop_mode=list --context_pad 2 in.csv out.csv")
    assert result.code == 0
    assert "Processed 3 windows in" in result.out and result.out.endswith("Saved to out.csv.\n")
    with open("out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["filename", "ymin", "xmin", "ymax", "xmax", *(f"class{n}" for n in range(6))]
    for row, wanted in zip(rows, detections(), strict=True):
        assert (row["filename"], int(row["xmax"])) == (wanted["filename"], wanted["window"][3])  # type: ignore[index]
        np.testing.assert_allclose(
            [float(row[f"class{n}"]) for n in range(6)], wanted["prediction"], rtol=1e-5
        )


def test_windows_of_a_list_into_hdf5(run: Run, images: list[Path]) -> None:
    import h5py

    Path("in.csv").write_text(WINDOWS)
    assert run(f"detect {MODEL} --crop_mode list --context_pad 2 in.csv out.h5").code == 0
    with h5py.File("out.h5") as file:
        assert file["filename"].asstr()[:].tolist() == ["images/1.png", "images/1.png", "images/0.png"]
        assert file["ymin"][:].tolist() == [0, 2, 1] and file["xmax"][:].tolist() == [6, 9, 10]
        np.testing.assert_allclose(file["prediction"][:], [d["prediction"] for d in detections()], rtol=1e-5)


def test_selective_search(run: Run) -> None:
    import cv2

    make_net()
    image = np.full((60, 80, 3), 255, np.uint8)
    image[15:45, 20:50] = (0, 0, 255)
    assert cv2.imwrite("image.png", image)
    Path("in.txt").write_text("image.png\n\n")
    result = run(f"detect {MODEL} --context_pad 2 in.txt out.csv")
    assert result.code == 0
    windows = [tuple(map(int, line.split(",")[1:5])) for line in Path("out.csv").read_text().splitlines()[1:]]
    assert any(np.abs(np.subtract(window, (15, 20, 45, 50))).max() <= 2 for window in windows)


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("in.csv out.csv", 2, "Fix: --crop_mode list"),
        ("--crop_mode list in.txt out.csv", 2, "expected a CSV with filename, ymin, xmin, ymax, xmax"),
        ("--crop_mode list in.csv out.npy", 2, "'out.npy': expected a name that ends in .csv or .h5"),
        (
            "--crop_mode list short.csv out.csv",
            3,
            "short.csv:1: expected columns filename, ymin, xmin, ymax, xmax; xmax missing",
        ),
        (
            "--crop_mode list words.csv out.csv",
            3,
            "words.csv:3: expected four numbers of pixels, got 1, 2, x, 4",
        ),
        (
            "--crop_mode list nan.csv out.csv",
            3,
            "nan.csv:2: expected four numbers of pixels, got nan, 2, 3, 4",
        ),
        (
            "--crop_mode list far.csv out.csv",
            3,
            "far.csv:2: expected four numbers of pixels, got 1e30, 2, 3, 4",
        ),
        ("--crop_mode list outside.csv out.csv", 2, "image 'images/0.png': window (ymin 500"),
        (
            "--crop_mode list large.csv out.csv",
            2,
            "image 'images/0.png': window (ymin -1, xmin -1, ymax 9999",
        ),
        ("--crop_mode list in.csv absent/out.csv", 1, "cannot write 'absent"),
        ("--crop_mode list none.csv out.csv", 3, "'none.csv' holds no windows"),
        ("--crop_mode list absent.csv out.csv", 3, "list of windows 'absent.csv' does not exist"),
        ("--crop_mode grid in.csv out.csv", 2, "expected one of selective_search, list, got 'grid'"),
        ("in.txt out.csv", 3, "list 'in.txt' is empty"),
    ],
)
def test_what_cannot_be_detected(run: Run, images: list[Path], line: str, code: int, message: str) -> None:
    head = WINDOWS.splitlines()[0]
    Path("in.csv").write_text(WINDOWS)
    Path("in.txt").write_text("")
    Path("short.csv").write_text("filename,ymin,xmin,ymax\na,1,2,3\n")
    Path("words.csv").write_text(f"{head}\na,1,2,3,4\nb,1,2,x,4\n")
    Path("none.csv").write_text(f"{head}\n")
    rows = {
        "nan": "a,nan,2,3,4",
        "far": "a,1e30,2,3,4",
        "outside": "images/0.png,500,500,510,510",
        "large": "images/0.png,-1,-1,9999,9999",
    }
    for name, row in rows.items():
        Path(f"{name}.csv").write_text(f"{head}\n{row}\n")
    result = run(f"detect {MODEL} --context_pad 2 {line}")
    assert result.code == code and message in result.err
    assert not list(Path().glob("out.*"))


def test_windows_are_whole_pixels() -> None:
    """A mark at the start, as spreadsheets write it; fractions, as pandas does; columns in any order."""
    Path("in.csv").write_text('\ufeffxmin,filename,ymin,xmax,ymax\n-1.5,"a, b.png",2.0,30,4e1\n')
    assert read_windows("in.csv") == {"a, b.png": [(2, -1, 40, 30)]}


# -- resize_and_crop_images --------------------------------------------------------------------------------------


def test_images_are_scaled_by_their_shorter_side_and_cropped() -> None:
    image = np.repeat(np.arange(0, 200, 10, dtype=np.uint8), 30).reshape(20, 10, 3)
    for order in ((2, 0, 1), (2, 1, 0)):
        square = resize_and_crop(image.transpose(order), 10)
        np.testing.assert_array_equal(square, image[5:15].transpose(order))


def test_a_folder_of_images(run: Run) -> None:
    import cv2

    write_images("in/n01", (12, 10, 3), (7, 20))
    write_images("in/n02", (9, 9, 3), kind="jpg")
    Path("in/notes.txt").write_text("no image")
    Path("in/n02/broken.jpg").write_bytes(b"x")
    result = run("resize_and_crop_images.py --num_clients=2 --image_lib=opencv --output_side_length=5 "
                 "--input_folder=in --output_folder=out")  # fmt: skip
    assert result.code == 0
    found = sorted(str(path.relative_to("out")) for path in Path("out").rglob("*.*"))
    assert found == [str(Path(name)) for name in ("n01/0.png", "n01/1.png", "n02/0.jpg")]
    assert all(cv2.imread(str(Path("out") / name)).shape == (5, 5, 3) for name in found)
    assert result.lines[-1] == "1 images could not be read and are not in 'out'"
    assert "Processed 3 files." in result.lines


def test_a_list_of_images(run: Run) -> None:
    write_images("in", (12, 10, 3), (9, 9, 3))
    Path("list").write_text("1.png\n")
    assert run("resize --input list --input_folder in --output_folder out").code == 0
    assert [path.name for path in Path("out").iterdir()] == ["1.png"]


@pytest.mark.parametrize("name", ["/etc/hostname", "../0.png", "n/../../0.png"])
def test_a_list_cannot_lead_out_of_the_folders(run: Run, name: str) -> None:
    """An absolute path would be both what is read and what is written."""
    write_images("in", (4, 4, 3))
    Path("list").write_text(f"{name}\n")
    result = run("resize --input list --input_folder in --output_folder out")
    assert result.code == 2 and f"'{name}': expected a path below the input folder" in result.err


def test_images_that_are_read_stay(run: Run) -> None:
    """One folder may lie in the other as long as no image takes another's place."""
    write_images("in", (12, 10, 3))
    write_images("in/small", (12, 10, 3))
    before = Path("in/small/0.png").read_bytes()
    result = run("resize --input_folder in --output_folder in/small --output_side_length 4")
    assert result.code == 2 and "'0.png' would replace an image of the input folder 'in'" in result.err
    assert Path("in/small/0.png").read_bytes() == before
    assert run("resize --input_folder in --output_folder in/other --output_side_length 4").code == 0
    assert sorted(str(path) for path in Path("in/other").rglob("*.png")) == [
        str(Path("in/other/0.png")), str(Path("in/other/small/0.png")),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("--input_folder in", 2, "Need a folder to write to."),
        ("--input_folder in --output_folder file", 1, "cannot make the folder 'file'"),
        ("--input_folder in --output_folder out --input nothing", 3, "list 'nothing' is empty"),
        ("--input_folder in --output_folder in", 2, "would replace an image of the input folder"),
        ("--input_folder in --output_folder out --output_side_length 0", 2, "expected at least 1, got 0"),
        ("--input_folder absent --output_folder out", 3, "input folder 'absent' does not exist"),
        ("--input_folder empty --output_folder out", 3, "none of 0 images below 'empty' could be read"),
        ("--input_folder in --output_folder out --image_lib PIL", 2, "expected one of opencv, got 'PIL'"),
    ],
)
def test_what_cannot_be_resized(run: Run, line: str, code: int, message: str) -> None:
    write_images("in", (4, 4, 3))
    Path("empty").mkdir()
    Path("file").touch()
    Path("nothing").touch()
    result = run(f"resize {line}")
    assert result.code == code and message in result.err


def test_no_side_at_all() -> None:
    from caffelite.tools.resize_and_crop_images import resize_and_crop_images

    with pytest.raises(UsageError, match="output side length"):
        resize_and_crop_images("in", "out", -1)
