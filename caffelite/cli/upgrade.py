"""``caffelite upgrade``: old nets and solvers to the current form."""

from __future__ import annotations

from caffelite.cli.command import Command
from caffelite.cli.flags import Flag, Options

_KINDS = ("", "net_text", "net_binary", "solver_text")


def _run(options: Options) -> int:
    from caffelite.tools.upgrade import log_upgrade, recognise, upgrade

    source, target = options.arguments
    kind = options.text("kind") or recognise(source)
    log_upgrade(upgrade(source, target, kind), source, target, kind)
    return 0


COMMAND = Command(
    "bring an old net or solver into the current form",
    _run,
    (
        Flag(
            "kind",
            "",
            "what the file is: net_text, net_binary, solver_text; empty: found out",
            "KIND",
            _KINDS,
        ),
    ),
    "IN OUT",
    "Nets of any generation, as text or as a caffemodel, whose weights are kept; solvers with solver_type. "
    "All other verbs read old files as they are.",
    ("caffelite upgrade old.prototxt new.prototxt", "caffelite upgrade old.caffemodel new.caffemodel"),
    (2, 2),
)
