"""The lines by which Caffe's tools tell how far they are."""

from __future__ import annotations

from caffelite.logs.log import get_log


class Progress:
    """Logs ``Processed N files.`` after each ``every`` items, and at the end if the last line is behind.

    ``text`` may say it otherwise, with ``{}`` for the number; ``where`` is the place in Caffe that logs it.
    """

    def __init__(self, every: int, where: str, text: str = "Processed {} files."):
        self.every, self.where, self.text = every, where, text
        self.count = 0

    def step(self) -> None:
        self.count += 1
        if self.count % self.every == 0:
            self._tell()

    def end(self) -> None:
        if self.count % self.every:
            self._tell()

    def _tell(self) -> None:
        get_log().emit("message", self.text.format(self.count), self.where, count=self.count)
