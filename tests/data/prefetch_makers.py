"""What makes batches in the tests of prefetching; importable by the workers."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass

import numpy as np

from caffelite.data.skipped import Bad
from caffelite.errors import DataError


@dataclass
class Numbers:
    """Fills each batch with the number of its first item; writes down what it made."""

    log: str = ""
    fail_at: int = -1
    how: str = ""
    bad_at: int = -1
    seconds: float = 0.0

    def make(self, item: int, into: dict[str, np.ndarray]) -> list[Bad]:
        if self.seconds:
            time.sleep(self.seconds)
        if item == self.fail_at:
            self._fail(item)
        for array in into.values():
            array[...] = item
        if self.log:
            with open(self.log, "a") as file:
                file.write(f"{item}\n")
        return [Bad(item, "bad")] if item == self.bad_at else []

    def _fail(self, item: int) -> None:
        if self.how == "data":
            raise DataError(f"item '{item:08d}' is broken")
        if self.how == "bug":
            raise ZeroDivisionError("a bug")
        os.kill(os.getpid(), signal.SIGKILL)

    def close(self) -> None:
        if self.log:
            with open(self.log, "a") as file:
                file.write("closed\n")


class Noisy(Numbers):
    """Prints, as image libraries like to."""

    def make(self, item: int, into: dict[str, np.ndarray]) -> list[Bad]:
        print("decoding", item, flush=True)
        os.write(1, b"from C\n")
        return super().make(item, into)
