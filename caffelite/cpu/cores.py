"""How many CPU cores this process may really use: physical cores, affinity, a container's limit."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def usable_cores(root: Path = Path("/")) -> int:
    """Physical cores that this process may run on, cut to its container's CPU quota (rounded down).

    ``root`` is where ``sys`` and ``proc`` are found. At least 1. Where the system tells neither, all
    logical CPUs count.
    """
    cores = len({_core(root, cpu) for cpu in _cpus()})
    quota = cpu_quota(root)
    return max(1, min(cores, int(quota)) if quota else cores)


def _cpus() -> Iterable[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return range(os.cpu_count() or 1)


def _core(root: Path, cpu: int) -> str:
    """A name for the physical core of a logical CPU: the list of its siblings."""
    siblings = root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
    return _read(siblings) or str(cpu)


def cpu_quota(root: Path = Path("/")) -> float | None:
    """CPUs that the control group (version 1 or 2) and its parents allow; ``None`` for no limit."""
    quotas = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            quotas += _quotas_v2(root / "sys/fs/cgroup", path)
        elif "cpu" in controllers.split(","):
            mounts = [root / "sys/fs/cgroup/cpu", root / f"sys/fs/cgroup/{controllers}"]
            quotas += _quotas_v1(next((mount for mount in mounts if mount.is_dir()), mounts[0]), path)
    return min(quotas, default=None)


def _levels(mount: Path, path: str) -> list[Path]:
    """The group's folder and its parents up to the mount; inside a container only the mount may be there."""
    parts = [part for part in path.split("/") if part]
    return [mount.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]


def _quotas_v2(mount: Path, path: str) -> list[float]:
    limits = [_read(level / "cpu.max").split() for level in _levels(mount, path)]
    return [int(limit[0]) / int(limit[1]) for limit in limits if len(limit) == 2 and limit[0] != "max"]


def _quotas_v1(mount: Path, path: str) -> list[float]:
    quotas = []
    for level in _levels(mount, path):
        quota, period = _read(level / "cpu.cfs_quota_us"), _read(level / "cpu.cfs_period_us")
        if quota and period and int(quota) > 0:
            quotas.append(int(quota) / int(period))
    return quotas


def _read(path: Path) -> str:
    """The file's text; empty where it does not exist or may not be read."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
