"""Whether fields that nobody knows, and those of forks that a layer does not act on, are errors or warnings.

They are errors unless a caller says ``lenient=True`` or reads inside ``with reading(lenient=True):``, as the command
line does with ``--lenient``; then each is told once as an IgnoredFieldWarning and passed over.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from caffelite.errors import IgnoredFieldWarning

_lenient: ContextVar[bool] = ContextVar("lenient", default=False)


@contextmanager
def reading(*, lenient: bool) -> Iterator[None]:
    """What ``lenient`` means in a block to those that are not told."""
    token = _lenient.set(lenient)
    try:
        yield
    finally:
        _lenient.reset(token)


def is_lenient(given: bool | None = None) -> bool:
    """The given answer, or that of the block around."""
    return _lenient.get() if given is None else given


def tell_ignored(texts: Iterable[str]) -> None:
    """Warns of each field that was passed over."""
    for text in texts:
        warnings.warn(text, IgnoredFieldWarning, stacklevel=2)
