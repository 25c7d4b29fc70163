"""Collects what is wrong with a net, so that a user hears all of it at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from caffelite.errors import CaffeliteError, NetError


class NetErrors(NetError):
    """Several problems of one net; ``errors`` holds each."""

    def __init__(self, errors: list[CaffeliteError]):
        self.errors = errors
        super().__init__("\n".join(str(error) for error in errors))


class Problems:
    """A list of errors that is raised at the end."""

    def __init__(self) -> None:
        self.errors: list[CaffeliteError] = []

    def add(self, error: CaffeliteError) -> None:
        self.errors.append(error)

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Keeps a CaffeliteError raised inside for later."""
        try:
            yield
        except CaffeliteError as error:
            self.add(error)

    def raise_any(self) -> None:
        """Raises what was collected: the error itself if there is one, NetErrors if there are more."""
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            raise NetErrors(self.errors)
