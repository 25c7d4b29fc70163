"""The process that makes batches ahead. Started by :class:`caffelite.data.prefetch.Prefetcher`.

stdin brings the job (its length in 8 bytes, then a pickle) and a byte for each slot that was given back;
stdout takes one message a batch. The end of either pipe, or of the parent, is the end of the worker.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import struct
import sys
import traceback

from caffelite.data.prefetch import DONE, FAILED, BatchMaker, Ring, encode_bad, encode_reply
from caffelite.errors import CaffeliteError

_LOOK_AROUND = 1.0  # seconds between looks for the parent: a fork of it may hold its ends of the pipes open


def main() -> None:
    """Makes batches until the parent has had enough."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    commands, replies = _own_pipes()
    parent = os.getppid()
    pickled, item, stride, shapes, slots, file = pickle.loads(_read_job(commands))
    ring, slot, free = Ring(shapes, slots, file), 0, slots
    maker = _unpickle(pickled, replies)
    try:
        while True:
            while not free:
                free += _wait_for_slots(commands, parent)
            kind, text = _make(maker, item, ring, slot)
            _write(replies, encode_reply(kind, text))
            if kind == FAILED:
                return
            item, slot, free = item + stride, (slot + 1) % slots, free - 1
    except (BrokenPipeError, _ParentGone):
        return
    finally:
        maker.close()


class _ParentGone(Exception):
    pass


def _own_pipes() -> tuple[int, int]:
    """Our ends of the pipes, out of the reach of libraries that print: their words go to stderr."""
    replies = os.dup(1)
    os.dup2(2, 1)
    commands = os.dup(0)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    return commands, replies


def _read_job(commands: int) -> bytes:
    return _read(commands, struct.unpack("<Q", _read(commands, 8))[0])


def _read(commands: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = os.read(commands, size - len(data))
        if not more:
            sys.exit(0)
        data += more
    return data


def _unpickle(pickled: bytes, replies: int) -> BatchMaker:
    try:
        maker: BatchMaker = pickle.loads(pickled)
        return maker
    except (AttributeError, ImportError) as error:
        _write(replies, encode_reply(FAILED, f"a data worker cannot load what makes its batches: {error}"))
        sys.exit(0)


def _make(maker: BatchMaker, item: int, ring: Ring, slot: int) -> tuple[bytes, str]:
    try:
        return DONE, encode_bad(maker.make(item, ring.arrays[slot]))
    except CaffeliteError as error:
        return FAILED, str(error)
    except Exception:  # a defect in a maker must reach the consumer, whatever it is
        return FAILED, f"a data worker failed at item {item}:\n{traceback.format_exc()}"


def _wait_for_slots(commands: int, parent: int) -> int:
    while not select.select([commands], [], [], _LOOK_AROUND)[0]:
        if os.getppid() != parent:
            raise _ParentGone
    given = os.read(commands, 4096)
    if not given:
        raise _ParentGone
    return len(given)


def _write(replies: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(replies, view) :]
