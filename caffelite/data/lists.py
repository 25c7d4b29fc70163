"""Text files that list data: opening one, or saying what is wrong with it."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from caffelite.data.owner import Owner
from caffelite.errors import MissingFileError

_MARK = codecs.BOM_UTF8  # some editors on Windows begin a file with it
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # and PowerShell's ">" one of these

NO_COMMA = "a blank stands between path and label, not a comma: sed -E -i 's/, *([^,]*)$/ \\1/' LIST"


@contextmanager
def open_list(path: str, what: str, owner: Owner) -> Iterator[BinaryIO]:
    """The file, behind its byte-order mark if it has one; ``what`` is in messages.

    Raises:
        MissingFileError: there is no such file.
        DataError: it cannot be read, or is text of 16 bits a character.
    """
    if not os.path.exists(path):
        fix = f"make the {what}, or mend the path; it is looked up from '{os.getcwd()}'"
        raise MissingFileError(path, owner.message(what), fix)
    try:
        with open(path, "rb") as file:
            head = file.read(len(_MARK))
            if head.startswith(_WIDE):
                fix = "save it as UTF-8 (PowerShell: Out-File -Encoding utf8)"
                raise owner.error(f"expected plain text in the {what} '{path}'", "UTF-16", fix)
            file.seek(len(_MARK) if head == _MARK else 0)
            yield file
    except OSError as error:
        raise owner.error(f"cannot read the {what} '{path}': {error.strerror or error}") from error
