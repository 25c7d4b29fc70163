"""The texts of ``caffelite help``."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from caffelite import __version__
from caffelite.cli.command import EVERYWHERE, Command
from caffelite.cli.flags import Flag

_WIDTH = 100


def overview(groups: Mapping[str, Mapping[str, Command]]) -> str:
    """What ``caffelite`` alone prints: the verbs of each group."""
    width = max(len(verb) for commands in groups.values() for verb in commands)
    parts = [f"{group}:\n{_verbs(commands, width)}" for group, commands in groups.items()]
    return "\n\n".join([
        "caffelite: Caffe that installs with pip and runs today.",
        "usage: caffelite VERB [FLAGS]",
        *parts,
        "'caffelite help VERB' tells more about one. Flags are Caffe's: -solver x, --solver=x, -x, -nox.\n"
        "Caffe's tools and scripts are verbs under their old names too: caffelite compute_image_mean ...\n"
        "First steps: 'caffelite demo' trains a LeNet on handwritten digits, in a minute.",
    ])  # fmt: skip


def page(
    verb: str, command: Command, old_names: Sequence[str] = (), family: Mapping[str, Command] | None = None
) -> str:
    """What ``caffelite help VERB`` prints. ``old_names``: what Caffe calls it. ``family``: verbs that follow it."""
    usage = " ".join(filter(None, ("usage: caffelite", verb, command.usage, "[FLAGS]")))
    parts = [usage, command.summary[:1].upper() + command.summary[1:] + "."]
    parts += [f"In Caffe: {', '.join(old_names)}."] if old_names else []
    parts += [_paragraphs(command.text)] if command.text else []
    if family:
        parts.append(f"Verbs:\n{_verbs(family, max(map(len, family)))}")
    if command.examples:
        parts.append("Examples:\n" + "\n".join(f"  {example}" for example in command.examples))
    parts += ["Flags:\n" + _flags(command.flags)] if command.flags else []
    parts.append("Flags of every verb:\n" + _flags(EVERYWHERE))
    return "\n\n".join(parts)


def _verbs(commands: Mapping[str, Command], width: int) -> str:
    return "\n".join(f"  {verb:<{width}}  {command.summary}" for verb, command in commands.items())


def version() -> str:
    """What ``caffelite --version`` prints."""
    return f"caffelite version {__version__}"


def _paragraphs(text: str) -> str:
    return "\n\n".join(textwrap.fill(part, _WIDTH) for part in text.split("\n\n"))


def _flags(flags: tuple[Flag, ...]) -> str:
    shown = [flag for flag in flags if not flag.hidden]
    heads = {flag.name: _head(flag) for flag in shown}
    width = max(map(len, heads.values()))
    indent = " " * (width + 4)
    lines = []
    for flag in shown:
        text = textwrap.fill(flag.help + _default(flag), _WIDTH - width, subsequent_indent=indent)
        lines.append(f"  {heads[flag.name]:<{width}}  {text}")
    return "\n".join(lines)


def _head(flag: Flag) -> str:
    return f"-{flag.name}" if isinstance(flag.default, bool) else f"-{flag.name} {flag.value}"


def _default(flag: Flag) -> str:
    if isinstance(flag.default, bool):
        return " (on; -no" + flag.name + " turns it off)" if flag.default else ""
    return f" (default {flag.default})" if flag.default not in ("", 0, -1, ()) else ""
