"""Flags of the verbs that make or read databases."""

from __future__ import annotations

from caffelite.cli.flags import Flag
from caffelite.errors import UsageError

BACKENDS = ("lmdb", "leveldb")
BACKEND = Flag("backend", "lmdb", "kind of the database: lmdb or leveldb", "KIND", BACKENDS)
SEED = Flag("seed", -1, "seed of random numbers; -1: a new one", "N")


def backend_of(text: str) -> str:
    """A kind of database that is given as a word and not as a flag. Raises UsageError."""
    if text.lower() not in BACKENDS:
        raise UsageError(f"kind of the database: expected one of {', '.join(BACKENDS)}, got '{text}'")
    return text.lower()
