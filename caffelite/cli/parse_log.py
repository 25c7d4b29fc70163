"""``caffelite parse_log``: tables of what a training log tells."""

from __future__ import annotations

from pathlib import Path

from caffelite.cli.command import Command
from caffelite.cli.flags import Flag, Options
from caffelite.errors import UsageError

_NO_DELIMITERS = '"\r\n'


def _run(options: Options) -> int:
    from caffelite.tools.parse_log import parse_log, write_columns, write_csv

    log, *folder = options.arguments
    delimiter = options.text("delimiter").replace("\\t", "\t")
    if len(delimiter) != 1 or delimiter in _NO_DELIMITERS:
        raise UsageError(
            f"--delimiter: expected one character, no quote and no line's end, got {delimiter!r}"
        )
    target = Path(*folder)
    if not target.is_dir():
        raise UsageError(f"output folder '{target}' does not exist\n  Fix: mkdir -p '{target}'")
    tables = parse_log(log)
    if options.switch("columns"):
        written = write_columns(tables, log, target)
    else:
        written = write_csv(tables, log, target, delimiter)
    if options.switch("verbose"):
        for path in written:
            print(f"Wrote {path}")
    return 0


COMMAND = Command(
    "tables (CSV) of what a training log tells",
    _run,
    (
        Flag("verbose", False, "say which files are written"),
        Flag("delimiter", ",", "what stands between columns", "CHARACTER"),
        Flag("columns", False, "the tables of parse_log.sh: columns set with spaces"),
    ),
    "LOG [OUTPUT_FOLDER]",
    "Writes LOG.train and LOG.test: NumIters, Seconds since the start, LearningRate of the iteration, and "
    "each output. A table without rows is not written.",
    ("caffelite parse_log train.log .", "caffelite parse_log.sh train.log"),
    (1, 2),
)
