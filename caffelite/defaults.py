"""What pycaffe keeps for the whole process: the mode and the random seed. They only fill in missing arguments."""

from __future__ import annotations

import logging
import operator

from caffelite.as_caffe import stands_in
from caffelite.errors import ArgumentTypeError, DeviceError

_engine = "cpu"
_gpu = 0
_seed = -1
_taken = 0  # nets that have asked for a seed since it was set


def set_mode_cpu() -> None:
    """Nets made from now on run on the CPU engine unless told otherwise."""
    global _engine
    _engine = "cpu"


def set_mode_gpu() -> None:
    """Nets made from now on run on the CUDA engine. Raises DeviceError where there is none.

    A script for which caffelite stands in for caffe is told so in a warning, and goes on on the CPU.
    """
    from caffelite.engine import get_engine

    global _engine
    try:
        get_engine(f"cuda:{_gpu}")
    except DeviceError as error:
        _without("set_mode_gpu()", error)
    else:
        _engine = "cuda"


def set_device(device: int) -> None:
    """Chooses the GPU of ``set_mode_gpu``, called before or after. Raises DeviceError as that does."""
    from caffelite.cuda.device import open_device

    global _gpu
    try:
        open_device(device)
    except DeviceError as error:
        _without(f"set_device({device})", error)
    else:
        _gpu = device


def _without(call: str, error: DeviceError) -> None:
    """Raises the error of a missing GPU with the call's name; a script that takes caffelite for caffe is warned."""
    if not stands_in():
        raise DeviceError(f"{call}: {error}") from error
    text = str(error).splitlines()[0]
    logging.getLogger(__name__).warning("%s: %s; going on on the CPU", call, text)


def set_random_seed(seed: int) -> None:
    """Fixes the random numbers of nets and solvers made from now on, unless they are given a seed of their own.

    The first takes ``seed`` itself, each further one a seed that follows from it, so that several nets of one file
    start differently and the whole script repeats. Nets that are there already keep theirs.
    """
    global _seed, _taken
    try:
        _seed, _taken = operator.index(seed), 0
    except TypeError as error:
        raise ArgumentTypeError(f"set_random_seed: expected a whole number, got {seed!r}") from error


def engine() -> str:
    """The engine of nets that name none."""
    return f"cuda:{_gpu}" if _engine == "cuda" else _engine


def next_seed() -> int:
    """The seed of the next net that names none; -1 where none was set: the net then takes a fresh one."""
    from caffelite.random import RandomSource

    global _taken
    _taken += 1
    if _seed < 0 or _taken == 1:
        return _seed
    return int(RandomSource(_seed).words(_taken, 1, "net")[0, 0]) >> 1
