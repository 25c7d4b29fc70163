"""What pycaffe keeps for the whole process: the mode and the random seed. They only fill in missing arguments."""

from __future__ import annotations

_engine = "cpu"
_seed = -1


def set_mode_cpu() -> None:
    """Nets made from now on run on the CPU engine unless told otherwise."""
    global _engine
    _engine = "cpu"


def set_mode_gpu() -> None:
    """Nets made from now on run on the CUDA engine. Raises DeviceError where there is none."""
    from caffelite.engine import get_engine

    global _engine
    get_engine("cuda")
    _engine = "cuda"


def set_random_seed(seed: int) -> None:
    """Nets and solvers made from now on take this seed unless told otherwise."""
    global _seed
    _seed = int(seed)


def engine() -> str:
    """The engine of nets that name none."""
    return _engine


def seed() -> int:
    """The seed of nets that name none; -1 takes a fresh one each time."""
    return _seed
