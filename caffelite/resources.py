"""Files that come with the package: the nets and solvers in ``models/``."""

from __future__ import annotations

from pathlib import Path

from caffelite.errors import MissingFileError

_PACKAGE = Path(__file__).resolve().parent


def models_dir() -> Path:
    """The folder with the models: beside the package in a checkout, inside it where it is installed.

    Raises MissingFileError if neither is there.
    """
    for folder in (_PACKAGE.parent / "models", _PACKAGE / "_models"):
        if (folder / "digits" / "solver.prototxt").is_file():
            return folder
    raise MissingFileError(
        _PACKAGE / "_models", "folder of models", "install caffelite again: its files are incomplete"
    )


def proto_file() -> Path:
    """The schema, ``caffe.proto``. Raises MissingFileError if it is not there."""
    for path in (_PACKAGE.parent / "proto" / "caffe.proto", _PACKAGE / "_proto" / "caffe.proto"):
        if path.is_file():
            return path
    raise MissingFileError(_PACKAGE / "_proto", "schema", "install caffelite again: its files are incomplete")


def model_file(model: str, name: str) -> Path:
    """The path of a file of a model: ``model_file("digits", "solver.prototxt")``."""
    return models_dir() / model / name
