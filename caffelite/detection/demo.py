"""A detector shown at work: a picture or a video with what was found drawn in, and the same as JSON beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from caffelite.atomic import atomic_write, check_target, make_folder
from caffelite.data import opencv
from caffelite.detection.detections import as_list
from caffelite.detection.pictures import SUFFIXES, draw_boxes, load_picture, write_picture
from caffelite.errors import DataError, MissingFileError, SnapshotError, UsageError

if TYPE_CHECKING:
    from caffelite.detection.detector import AnyDetector

VIDEOS = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".avi": "MJPG", ".mkv": "mp4v"}
"""What names of videos end with, and how a video of that kind is coded when it is written."""

_FRAMES_A_SECOND = 25.0  # of a video that does not say

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Shown:
    """What was written for one image or video."""

    source: Path
    picture: Path
    listing: Path  # .json of an image, .jsonl of a video
    found: int
    seconds: float  # spent detecting

    def text(self) -> str:
        """One line on it."""
        return f"{self.source}: {self.found} found in {1000 * self.seconds:.0f} ms -> {self.picture}"


def demo(
    detector: AnyDetector,
    sources: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    tell: Tell | None = None,
) -> list[Shown]:
    """Detects in images, videos, and all of them in folders, and draws every class into one picture each.

    For ``photo.jpg`` there are then ``photo.jpg`` and ``photo.jpg.json`` in the folder ``output``; for ``film.mp4``,
    ``film.mp4`` and ``film.mp4.jsonl`` with a line for each frame. ``tell`` gets a line for each.

    Raises:
        MissingFileError: a source that is not there, or a folder without images.
        UsageError: two sources of the same name, or one that would be written over.
        DataError: some could not be read; all others are done.
        SnapshotError: the folder cannot be written to.
    """
    files = _files(sources)
    folder = make_folder(output)
    check_target(folder / "detections.json")
    _check_names(files, folder)
    done, broken = [], []
    for file in files:
        try:
            shown = (_video if file.suffix.lower() in VIDEOS else _image)(detector, file, folder)
        except DataError as error:
            broken.append(f"{file}: {error}" if str(file) not in str(error) else str(error))
            continue
        done.append(shown)
        if tell:
            tell(shown.text())
    if broken:
        raise DataError(f"{len(broken)} of {len(files)} could not be shown:\n" + "\n".join(broken))
    return done


def _files(sources: Sequence[str | os.PathLike[str]]) -> list[Path]:
    files = []
    for source in map(Path, sources):
        if source.is_dir():
            inside = sorted(f for f in source.iterdir() if f.suffix.lower() in (*SUFFIXES, *VIDEOS))
            if not inside:
                raise MissingFileError(source / "*.jpg", "image or video")
            files += inside
        elif source.exists():
            files.append(source)
        else:
            raise MissingFileError(source, "image, video or folder")
    return files


def _check_names(files: Sequence[Path], folder: Path) -> None:
    seen: dict[str, Path] = {}
    for file in files:
        target = _target(file, folder)
        if target.exists() and target.samefile(file):
            raise UsageError(f"'{file}' would be written over\n  Fix: -o another folder")
        if target.name in seen:
            raise UsageError(f"'{seen[target.name]}' and '{file}' have the same name: show them one by one")
        seen[target.name] = file


def _target(file: Path, folder: Path) -> Path:
    """Where the picture goes: under its own name, or that with .png for formats that cannot be written."""
    writable = (*VIDEOS, ".jpg", ".jpeg", ".png", ".bmp", ".webp")
    return folder / (file.name if file.suffix.lower() in writable else f"{file.name}.png")


# -- images --------------------------------------------------------------------------------------------------


def _image(detector: AnyDetector, file: Path, folder: Path) -> Shown:
    image = load_picture(file)
    began = perf_counter()
    rows = detector.detect(image)
    seconds = perf_counter() - began
    target = _target(file, folder)
    write_picture(target, drawn(detector, image, rows))
    listing = folder / f"{file.name}.json"
    height, width = image.shape[:2]
    about = {"image": str(file), "width": width, "height": height, "detections": as_json(detector, rows)}
    with atomic_write(listing) as out:
        out.write((json.dumps(about, indent=1, ensure_ascii=False) + "\n").encode())
    return Shown(file, target, listing, len(rows), seconds)


def drawn(detector: AnyDetector, image: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """A copy of the image with all boxes, the best on top."""
    rows = rows[::-1]
    return draw_boxes(image, rows[:, 2:], rows[:, 0].astype(np.int64), detector.card.classes, rows[:, 1])


def as_json(detector: AnyDetector, rows: np.ndarray) -> list[dict[str, Any]]:
    """Detections as JSON has them: label, score, box x1, y1, x2, y2 in pixels from 0."""
    return [
        {
            "label": one.label,
            "score": round(one.score, 4),
            "box": [round(corner, 2) for corner in one.box],
        }
        for one in as_list(rows, detector.card.classes)
    ]


# -- videos --------------------------------------------------------------------------------------------------


def _video(detector: AnyDetector, file: Path, folder: Path) -> Shown:
    target, listing = _target(file, folder), folder / f"{file.name}.jsonl"
    found, seconds, lines = 0, 0.0, []
    with _reading(file) as film, TemporaryDirectory(dir=folder, prefix=".video-") as temporary:
        part = Path(temporary) / target.name
        with _Writer(part, _rate(film)) as writer:
            for number, frame in enumerate(_frames(film)):
                began = perf_counter()
                rows = detector.detect(frame)
                seconds += perf_counter() - began
                found += len(rows)
                at = round(number / writer.rate, 3)
                line = {"frame": number, "seconds": at, "detections": as_json(detector, rows)}
                lines.append(json.dumps(line, ensure_ascii=False))
                writer.write(drawn(detector, frame, rows))
        if not lines:
            raise DataError(f"video '{file}' has no frames that OpenCV reads")
        os.replace(part, target)
    with atomic_write(listing) as out:
        out.write("".join(f"{line}\n" for line in lines).encode())
    return Shown(file, target, listing, found, seconds)


@contextmanager
def _reading(file: Path) -> Iterator[Any]:
    film = opencv.load().VideoCapture(str(file))
    try:
        if not film.isOpened():
            raise DataError(f"video '{file}' cannot be decoded\n  Fix: convert it to MP4 (H.264)")
        yield film
    finally:
        film.release()


def _rate(film: Any) -> float:
    rate = float(film.get(opencv.load().CAP_PROP_FPS))
    return rate if np.isfinite(rate) and rate > 0 else _FRAMES_A_SECOND


def _frames(film: Any) -> Iterator[np.ndarray]:
    while True:
        there, frame = film.read()
        if not there:
            return
        yield frame


class _Writer:
    """A video that is opened with its first frame, which has its size."""

    def __init__(self, path: Path, rate: float):
        self.path, self.rate = path, rate
        self._out: Any = None

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._out is not None:
            self._out.release()

    def write(self, frame: np.ndarray) -> None:
        """Adds a frame (H, W, 3) uint8. Raises SnapshotError if OpenCV cannot write such a video."""
        if self._out is None:
            cv2 = opencv.load()
            code = cv2.VideoWriter_fourcc(*VIDEOS[self.path.suffix.lower()])
            self._out = cv2.VideoWriter(str(self.path), code, self.rate, frame.shape[1::-1])
        if not self._out.isOpened():
            raise SnapshotError(
                f"OpenCV cannot write videos that end in {self.path.suffix}\n  Fix: give it as .avi"
            )
        self._out.write(frame)
