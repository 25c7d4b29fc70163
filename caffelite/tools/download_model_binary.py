"""Weights that a model's readme.md tells of: Caffe's scripts/download_model_binary.py."""

from __future__ import annotations

import hashlib
import re
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from caffelite.atomic import atomic_write
from caffelite.errors import DataError
from caffelite.prototxt.binary import read_bytes

_CHUNK = 1 << 20
_TIMEOUT = 30.0  # seconds without a byte
_SCHEMES = ("http", "https", "ftp", "file")
_FRONT = re.compile(r"\s*---[ \t]*\n(.*?)\n---[ \t]*(?:\n|$)", re.DOTALL)
_LINE = re.compile(r"([A-Za-z_]\w*)\s*:\s+(.*?)\s*")

Report = Callable[[int, int], None]
"""Called with the bytes so far and all of them, 0 if nobody knows."""


@dataclass(frozen=True)
class ModelCard:
    """What a readme says of a model's weights: where the file goes, its address and checksum."""

    path: Path
    url: str
    sha1: str


def read_card(folder: str | Path) -> ModelCard:
    """The card in a model's ``readme.md``: lines ``name: value`` between two lines ``---`` at its start.

    Raises:
        MissingFileError, DataError: no readme, no such lines, or one of caffemodel, caffemodel_url, sha1
            missing.
    """
    path = next((p for p in (Path(folder) / "readme.md", Path(folder) / "README.md") if p.exists()), None)
    path = path or Path(folder) / "readme.md"
    text = read_bytes(path, "readme").decode("utf-8", "replace").replace("\r\n", "\n")
    front = _FRONT.match(text)
    matches = (_LINE.fullmatch(line) for line in (front[1] if front else "").splitlines())
    fields = {match[1]: match[2].strip("\"'") for match in matches if match}
    if missing := [name for name in ("caffemodel", "caffemodel_url", "sha1") if not fields.get(name)]:
        names = ", ".join(f"'{name}: ...'" for name in missing)
        raise DataError(f"'{path}': expected {names} between two lines '---' at its start")
    return _checked(path, fields)


def download_model_binary(folder: str | Path, report: Report | None = None) -> bool:
    """Fetches a model's weights into its folder, checked; False if they were there already.

    A file of the right name with a wrong checksum is replaced.

    Raises:
        MissingFileError, DataError: what :func:`read_card` raises; an address that does not answer; a wrong
            checksum.
        SnapshotError: the folder cannot be written.
    """
    card = read_card(folder)
    if card.path.is_file() and is_right(card):
        return False
    digest = hashlib.sha1(usedforsecurity=False)
    with atomic_write(card.path) as file:
        for chunk in _chunks(card.url, report):
            digest.update(chunk)
            file.write(chunk)
        if digest.hexdigest() != card.sha1:
            raise DataError(
                f"'{card.url}': expected sha1 {card.sha1}, got {digest.hexdigest()}\n"
                "  Fix: try again; if it stays so the file behind the address is another one"
            )
    return True


def is_right(card: ModelCard) -> bool:
    """Whether the file is there with the checksum of its card."""
    with open(card.path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.sha1(usedforsecurity=False)).hexdigest() == card.sha1


def _checked(readme: Path, fields: dict[str, str]) -> ModelCard:
    name, url, sha1 = fields["caffemodel"], fields["caffemodel_url"], fields["sha1"].lower()
    if name in (".", "..") or Path(name).name != name or "\\" in name:
        raise DataError(f"'{readme}': caffemodel: expected a file name, got '{name}'")
    if url.partition(":")[0].lower() not in _SCHEMES:
        raise DataError(f"'{readme}': caffemodel_url: expected an address http://..., got '{url}'")
    if not re.fullmatch("[0-9a-f]{40}", sha1):
        raise DataError(f"'{readme}': sha1: expected 40 hexadecimal digits, got '{sha1}'")
    return ModelCard(readme.parent / name, url, sha1)


def _chunks(url: str, report: Report | None) -> Iterator[bytes]:
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:
            size, done = int(answer.headers.get("Content-Length") or 0), 0
            while chunk := answer.read(_CHUNK):
                done += len(chunk)
                yield chunk
                if report:
                    report(done, size)
    except (OSError, HTTPException, ValueError) as error:  # urllib's errors and timeouts are OSErrors
        raise DataError(
            f"cannot download '{url}': {error}\n  Fix: check the network and the address"
        ) from error
