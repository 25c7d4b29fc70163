"""Batches made ahead by worker processes, delivered in order.

Why processes: a thread that runs Python beside oneDNN holds the interpreter's lock for up to 5 ms at a time,
and a 0.4 ms convolution then takes 12. Why not always: a batch of MNIST costs 0.1 ms in line, no more than to
hand it over.

Each worker owns a ring of slots in shared memory. Worker w of W makes batches w, w + W, ... and stops when
its ring is full (back-pressure); the consumer copies a batch out and gives the slot back. The memory has no
name and the pipes end with the process at either side, so nothing outlives a run, not even one that was killed.

Workers are started by command, not by ``multiprocessing``: forking hangs after oneDNN was used, and spawning
runs the user's script again where it has no ``if __name__ == "__main__"``.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import pickle
import struct
import subprocess
import sys
import tempfile
import weakref
from typing import IO, Protocol, cast

import numpy as np

from caffelite.data.owner import NOBODY, Owner
from caffelite.data.skipped import Bad
from caffelite.errors import DataError
from caffelite.types import Shape

Arrays = dict[str, np.ndarray]

DONE, FAILED = b"d", b"e"
HEAD = struct.Struct("<cI")  # what a worker sends: the kind of message, the length of the text that follows

_ALIGN = 64
_INLINE_VALUES = 1 << 19  # raw values of a batch: 0.3 ms in line, 2 ms with random crops
_CPUS_PER_WORKER = 4  # the rest computes
_MAX_WORKERS = 4
_PATIENCE = 5.0  # seconds that a worker has to finish its batch when all ends

# A worker owns one core: the pools that NumPy and OpenCV would make spin against the compute threads.
_THREAD_COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
_COMMAND = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from caffelite.data.worker import main; main()"
)


class BatchMaker(Protocol):
    """Makes any batch by the number of its first item. Workers get a pickle of it."""

    def make(self, item: int, into: Arrays) -> list[Bad]:
        """Fills the arrays; gives the bad records that it passed over. Raises DataError."""
        ...

    def close(self) -> None:
        """Frees files."""
        ...


class Feed(Protocol):
    """Batches in order. ``position``: the first item of the batch that comes next."""

    position: int

    def next(self, into: Arrays) -> list[Bad]:
        """Fills ``into`` and moves on; gives the bad records. Raises DataError; the position then stays."""
        ...

    def close(self) -> None:
        """Ends it. May be called twice."""
        ...


def choose_workers(values: int, encoded: bool, prefetch: int, wanted: int | None = None) -> int:
    """How many worker processes make batches of ``values`` numbers; 0: they are made in line.

    Raw batches of up to half a million values take 0.3 to 2 ms in line. Encoded images and larger batches
    go to one worker for each four CPUs, at least one and at most four. On Windows all is in line.
    """
    if not prefetch or os.name == "nt":
        return 0
    if wanted is not None:
        return min(wanted, prefetch)
    if not encoded and values <= _INLINE_VALUES:
        return 0
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(_MAX_WORKERS, cpus // _CPUS_PER_WORKER, prefetch))


class InlineFeed:
    """Batches made when they are asked for, by the caller's thread."""

    def __init__(self, maker: BatchMaker, position: int, step: int):
        self._maker = maker
        self._step = step
        self.position = position

    def next(self, into: Arrays) -> list[Bad]:
        """Makes the batch."""
        bad = self._maker.make(self.position, into)
        self.position += self._step
        return bad

    def close(self) -> None:
        """Nothing to end: the maker is its owner's."""


class Ring:
    """Slots of shared memory, each holding one batch as float32 arrays of the same shapes."""

    def __init__(self, shapes: dict[str, Shape], slots: int, file: int | None = None):
        self.shapes, self.slots = shapes, slots
        starts = np.cumsum([0, *(-(-4 * math.prod(shape) // _ALIGN) * _ALIGN for shape in shapes.values())])
        size = int(starts[-1])
        self.file = _anonymous_file(slots * size) if file is None else file
        memory = mmap.mmap(self.file, max(1, slots * size))
        self.arrays: list[Arrays] = [
            {
                name: np.frombuffer(memory, np.float32, math.prod(shape), slot * size + int(start)).reshape(
                    shape
                )
                for (name, shape), start in zip(shapes.items(), starts, strict=False)
            }
            for slot in range(slots)
        ]

    def close(self) -> None:
        """Frees the memory on this side."""
        self.arrays.clear()
        os.close(self.file)


class Prefetcher:
    """Batches made ahead by worker processes, in order.

    maker:    pickled to the workers; its class must be importable there (not one of a script's own).
    shapes:   of the arrays in every batch.
    depth:    batches made ahead, over all workers.
    owner:    named in errors.

    An error in making a batch is raised by the ``next`` that would have delivered it, and by each one after.
    """

    def __init__(
        self,
        maker: BatchMaker,
        shapes: dict[str, Shape],
        position: int,
        step: int,
        depth: int = 4,
        workers: int = 1,
        owner: Owner = NOBODY,
    ):
        self.position = position
        self._step = step
        self._owner = owner
        self._served = 0
        self._workers: list[_Worker] = []
        self._finalizer = weakref.finalize(self, _end, self._workers, os.getpid())
        pickled = _pickle(maker, owner)
        for _ in range(workers):  # all start before the first gets its job: they load their modules meanwhile
            self._workers.append(_Worker(Ring(shapes, -(-depth // workers))))
        for number, worker in enumerate(self._workers):
            worker.begin(pickled, position + number * step, workers * step)

    @property
    def processes(self) -> list[int]:
        """Process numbers of the workers."""
        return [worker.process.pid for worker in self._workers]

    def next(self, into: Arrays) -> list[Bad]:
        """Waits for the next batch, copies it and gives its slot back.

        Raises:
            DataError: the batch could not be made, or the worker died.
        """
        if not self._finalizer.alive:
            raise DataError(self._owner.message("the prefetcher was closed"))
        worker = self._workers[self._served % len(self._workers)]
        try:
            batch, bad = worker.wait()
        except _WorkerDied as error:
            items = f"items {self.position} to {self.position + self._step - 1}"
            fix = "ended by -9 usually means out of memory: lower data_param.prefetch or the batch size"
            raise self._owner.error(f"the data worker that makes {items} {error}", fix=fix) from error
        for name, array in into.items():
            array[...] = batch[name]
        self._served += 1
        self.position += self._step
        worker.release()
        return bad

    def close(self) -> None:
        """Ends the workers. May be called twice; happens by itself when the object or the process ends."""
        self._finalizer()


class _WorkerDied(Exception):
    pass


class _Worker:
    """One process and its ring, seen from the consumer."""

    def __init__(self, ring: Ring):
        self.ring = ring
        self._taken = 0
        self._ready = False
        self._error = ""
        self._bad: list[Bad] = []
        command = [sys.executable, "-P", "-c", _COMMAND, json.dumps(sys.path)]
        one_thread = dict.fromkeys(_THREAD_COUNTS, "1")
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, **one_thread},
            pass_fds=(ring.file,),
            start_new_session=True,  # Ctrl-C in the terminal is the parent's to answer
        )
        self._commands = cast(IO[bytes], self.process.stdin)
        self._replies = _Replies(cast(IO[bytes], self.process.stdout))

    def begin(self, maker: bytes, first: int, stride: int) -> None:
        """Sends what to do."""
        job = pickle.dumps((maker, first, stride, self.ring.shapes, self.ring.slots, self.ring.file))
        self._send(struct.pack("<Q", len(job)) + job)

    def wait(self) -> tuple[Arrays, list[Bad]]:
        """The next batch and the bad records in it; stays that until ``release``, even if a signal ends the caller's copying."""
        if self._error:
            raise DataError(self._error)
        if not self._ready:
            kind, text = self._replies.read()
            if not kind:
                raise _WorkerDied(f"ended unexpectedly, with code {self.process.wait()}")
            if kind == FAILED:
                self._error = text
                raise DataError(text)
            self._bad = decode_bad(text)
            self._ready = True
        return self.ring.arrays[self._taken % self.ring.slots], self._bad

    def release(self) -> None:
        """Gives the batch's slot back."""
        self._taken += 1
        self._ready = False
        self._send(b"+")

    def _send(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[self._commands.write(view) :]
        except BrokenPipeError:
            return  # it died; the next wait says how

    def hang_up(self) -> None:
        """Closes the pipes, upon which the worker ends after its current batch."""
        self._commands.close()
        self._replies.close()

    def disown(self) -> None:
        """Leaves the process to our parent."""
        self.process.returncode = 0  # else subprocess warns that it still runs
        self.ring.close()

    def end(self) -> None:
        """Waits for that, but not for long."""
        try:
            self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.ring.close()


class _Replies:
    """Messages from a pipe. Keeps what has come if a signal's exception cuts a read short."""

    def __init__(self, pipe: IO[bytes]):
        self._pipe = pipe
        self._buffer = b""

    def close(self) -> None:
        """Closes the pipe."""
        self._pipe.close()

    def read(self) -> tuple[bytes, str]:
        """Kind and text of the next message; empty when the sender is gone."""
        if not self._fill(HEAD.size):
            return b"", ""
        kind, length = HEAD.unpack_from(self._buffer)
        if not self._fill(HEAD.size + length):
            return b"", ""
        text = self._buffer[HEAD.size : HEAD.size + length].decode()
        self._buffer = self._buffer[HEAD.size + length :]
        return kind, text

    def _fill(self, size: int) -> bool:
        while len(self._buffer) < size:
            more = self._pipe.read(1 << 16)
            if not more:
                return False
            self._buffer += more
        return True


def _end(workers: list[_Worker], creator: int) -> None:
    forked = os.getpid() != creator  # then the workers are our parent's
    for worker in workers:
        worker.hang_up()
    for worker in workers:
        worker.disown() if forked else worker.end()


def _pickle(maker: BatchMaker, owner: Owner) -> bytes:
    try:
        return pickle.dumps(maker)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise owner.error(f"cannot hand {type(maker).__name__} to a data worker: {error}") from error


def _anonymous_file(size: int) -> int:
    """A file in memory where the system has that (Linux), otherwise an unlinked one on disk."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("caffelite-batches")
    else:
        with tempfile.TemporaryFile() as unlinked:
            file = os.dup(unlinked.fileno())
    os.ftruncate(file, max(1, size))
    return file


def encode_reply(kind: bytes, text: str = "") -> bytes:
    """A worker's message."""
    data = text.encode()
    return HEAD.pack(kind, len(data)) + data


def encode_bad(bad: list[Bad]) -> str:
    """The text of a worker's message about a batch that it made."""
    return json.dumps(bad) if bad else ""


def decode_bad(text: str) -> list[Bad]:
    """What ``encode_bad`` was given."""
    return [Bad(*entry) for entry in json.loads(text)] if text else []
