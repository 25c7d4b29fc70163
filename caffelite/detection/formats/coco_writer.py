"""Writes sets as COCO's JSON, for tools that know only that."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from caffelite.atomic import atomic_write, make_folder
from caffelite.detection.dataset import DetectionSet, Picture
from caffelite.detection.detection_files import category_ids, image_ids


def write_coco(path: str | os.PathLike[str], dataset: DetectionSet) -> Path:
    """Writes a set as one JSON file; images stay where they are, and are named as seen from its folder.

    Numbers of images and categories are those in results that ``write_detections`` writes for the same set. Objects that
    are difficult, of which COCO knows nothing, have ``"difficult": 1``, which ``load_set`` reads.

    Raises:
        SnapshotError: it cannot be written there.
    """
    target = Path(path)
    make_folder(target.parent)
    ids, categories = image_ids(dataset), category_ids(dataset)
    annotations = [one for p in dataset.pictures for one in _annotations(p, ids[p.key], categories)]
    content = {
        "images": [_image(picture, ids[picture.key], target.parent) for picture in dataset.pictures],
        "annotations": [{"id": number} | one for number, one in enumerate(annotations, 1)],
        "categories": [{"id": k, "name": name} for k, name in zip(categories, dataset.classes, strict=True)],
    }
    with atomic_write(target) as file:
        file.write(json.dumps(content, indent=1).encode())
    return target


def _image(picture: Picture, number: int, folder: Path) -> dict[str, Any]:
    try:
        name = os.path.relpath(picture.path.absolute(), folder.absolute())
    except ValueError:  # another drive
        name = str(picture.path.absolute())
    return {
        "id": number,
        "file_name": name.replace(os.sep, "/"),
        "width": picture.width,
        "height": picture.height,
    }


def _annotations(picture: Picture, image: int, categories: tuple[int, ...]) -> list[dict[str, Any]]:
    return [
        {
            "image_id": image,
            "category_id": categories[label - 1],
            "bbox": [x1, y1, x2 - x1 + 1, y2 - y1 + 1],
            "area": area,
            "iscrowd": int(crowd),
            "difficult": int(difficult and not crowd),
        }
        for label, (x1, y1, x2, y2), area, crowd, difficult in zip(
            picture.labels.tolist(),
            picture.boxes.tolist(),
            picture.areas.tolist(),
            picture.crowd.tolist(),
            picture.difficult.tolist(),
            strict=True,
        )
    ]
