"""``caffelite VERB FLAGS``: finds the verb, reads its flags, runs it, and turns errors into exit codes.

Exit codes: 0 done (a stop by signal that saved its state included), 1 the run failed, 2 wrong usage or a
net that cannot be built, 3 data, 4 a number that is not finite, 5 device, 130 interrupted, 141 nobody reads
the output.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from traceback import print_exception

from caffelite.cli import help as texts
from caffelite.cli.command import EVERYWHERE, Command
from caffelite.cli.flags import Flag, Options, first_word, parse
from caffelite.cli.verbs import FAMILIES, GROUPS, NETS, OLD_NAMES, VERBS, command, current, members, old_names
from caffelite.errors import CaffeliteError, IgnoredFieldWarning, PrototxtError, UsageError
from caffelite.logs.caffe import FileSink, StderrSink, year_in_prefix
from caffelite.logs.log import Log, Sink, get_log, level_from_environment
from caffelite.prototxt.lenience import reading
from caffelite.prototxt.suggest import suggestion

INTERRUPTED = 130
PIPE_CLOSED = 141
FAILURES = (CaffeliteError, MemoryError, KeyboardInterrupt)
_ALIASES = {
    "fit": "train",
    "finetune": "train",
    "eval": "test",
    "score": "test",
    "benchmark": "time",
    "lint": "check",
}
_VERBS_LISTED = f"one of {', '.join(VERBS)}; 'caffelite help' tells what they do"
_NAMES = (*VERBS, *OLD_NAMES, "help")
_HELP = ("-h", "-help", "--help", "-helpshort", "--helpshort")
_VERSION = ("-version", "--version")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(
            errors="backslashreplace"
        )  # a file's name may hold what the terminal cannot show
    try:
        code = _run(words)
        sys.stdout.flush()
        return code
    except FAILURES as error:
        return _report(Log(StderrSink()), error, any(word.lstrip("-") == "traceback" for word in words))
    except BrokenPipeError:
        # Python flushes standard output once more at exit; give it somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED


def _run(words: list[str]) -> int:
    if not words or words[0] in _HELP:
        return _print(_overview())
    if words[0] in _VERSION:
        return _print(texts.version())
    verb, rest = _find_verb(words)
    if verb == "help":
        return _help(rest)
    chosen = command(verb)
    if any(word in _HELP for word in rest):
        return _print(_page(verb))
    options = parse(rest, chosen.flags + EVERYWHERE)
    _check_words(verb, chosen, options)
    with get_log().to(*_sinks(verb, options, chosen.progress), instead=True) as log:
        try:
            with _lenience(log, options.switch("lenient")):
                return chosen.run(options)
        except FAILURES as error:
            return _report(log, error, options.switch("traceback"), "" if verb == "check" else _more(error))


@contextmanager
def _lenience(log: Log, lenient: bool) -> Iterator[None]:
    """Reads nets as --lenient says; warnings become lines of the log."""

    def show(message: Warning | str, *_: object) -> None:
        log.emit("warning", str(message), "upgrade_proto.cpp:1", "W")

    with warnings.catch_warnings(), _library_records(log), reading(lenient=lenient):
        warnings.simplefilter("always", IgnoredFieldWarning)
        warnings.showwarning = show  # type: ignore[assignment]
        yield


@contextmanager
def _library_records(log: Log) -> Iterator[None]:
    """What the library tells Python's logging (data that were passed over) becomes lines of the log too."""
    logger, handler = logging.getLogger("caffelite"), logging.Handler()
    handler.emit = partial(_told, log)  # type: ignore[method-assign]
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


def _told(log: Log, record: logging.LogRecord) -> None:
    kind, severity = ("message", "I") if record.levelno < logging.WARNING else ("warning", "W")
    log.emit(kind, record.getMessage(), "data_layer.cpp:1", severity)


def _print(text: str) -> int:
    print(text)
    return 0


def _overview() -> str:
    return texts.overview({group: {verb: command(verb) for verb in verbs} for group, verbs in GROUPS.items()})


def _report(log: Log, error: BaseException, traceback: bool, more: str = "") -> int:
    """Logs what went wrong, shows where if asked to, and returns the exit code."""
    code, text = _meaning(error)
    log.emit("error", text + more, "caffe.cpp:1", "F", error=type(error).__name__, exit_code=code)
    if traceback:
        print_exception(error)
    return code


def _more(error: BaseException) -> str:
    """How to see everything that is wrong with a file, where some of it may still be hidden."""
    from caffelite.graph.problems import NetErrors

    if not isinstance(error, PrototxtError | NetErrors):
        return ""
    file = error.problems[0].location.file if isinstance(error, PrototxtError) else ""
    return f"\n'caffelite check {file or 'FILE'}' lists all problems"


def _meaning(error: BaseException) -> tuple[int, str]:
    if isinstance(error, CaffeliteError):  # notes say where in a user's layer it was raised
        return error.exit_code, "\n".join([str(error), *getattr(error, "__notes__", ())])
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, "interrupted"
    return 1, f"out of memory {error}".strip()


def _find_verb(words: list[str]) -> tuple[str, list[str]]:
    at = first_word(words, _all_flags(words))
    if at is None:
        raise UsageError(f"expected a verb beside the flags\n  Fix: {_VERBS_LISTED}")
    verb, *preset = current(words[at])
    if verb not in (*VERBS, "help"):
        near = suggestion(verb, _NAMES, _ALIASES)
        raise UsageError(f"unknown verb '{verb}'{near}\n  Fix: {_VERBS_LISTED}")
    rest = preset + words[:at] + words[at + 1 :]
    return _find_member(verb, rest) if verb in FAMILIES else (verb, rest)


def _find_member(family: str, words: list[str]) -> tuple[str, list[str]]:
    """The verb of a family that a line is about, as ``det check``; the family itself if there are only flags."""
    at = first_word(words, EVERYWHERE)
    if at is None:
        return family, words
    names, name = members(family), words[at].replace("-", "_")
    if name not in names:
        listed = f"one of {', '.join(names)}; 'caffelite help {family}' tells what they do"
        raise UsageError(f"unknown verb '{family} {words[at]}'{suggestion(name, names)}\n  Fix: {listed}")
    return f"{family} {name}", words[:at] + words[at + 1 :]


def _all_flags(words: list[str]) -> Iterator[Flag]:
    """The flags that may come before a verb, if the line starts with one: only then it takes them to find it."""
    if words[0].startswith("-"):
        for verb in NETS:
            yield from command(verb).flags
        yield from EVERYWHERE


def _help(words: list[str]) -> int:
    verb = _find_verb(words)[0] if words else "help"
    return _print(_overview() if verb == "help" else _page(verb))


def _page(verb: str) -> str:
    family = {name: command(f"{verb} {name}") for name in members(verb)}
    return texts.page(verb, command(verb), old_names(verb), family)


def _check_words(verb: str, chosen: Command, options: Options) -> None:
    least, most = chosen.words
    got = len(options.arguments)
    if got < least or (most is not None and got > most):
        wrong = "nothing" if not got else " ".join(f"'{word}'" for word in options.arguments)
        raise UsageError(
            f"{verb}: expected {chosen.usage or 'flags only'}, got {wrong}\n  Fix: caffelite help {verb}"
        )


def _sinks(verb: str, options: Options, progress: bool) -> Iterator[Sink]:
    """The log in the form that the flags ask for."""
    form, level, year = options.text("log-format"), _level(options), _year(options)
    if form == "json":
        from caffelite.logs.json_lines import JsonSink

        yield JsonSink(level)
    elif form == "rich":
        from caffelite.logs.terminal import RichSink

        yield RichSink(level)
    elif progress and sys.stderr.isatty():
        from caffelite.logs.terminal import RichSink, caffe_markup

        yield RichSink(level, partial(caffe_markup, year=year))
    else:
        yield StderrSink(level, year)
    if options.text("log_dir"):
        yield FileSink(
            os.path.join(options.text("log_dir"), f"caffelite.{verb.replace(' ', '_')}.{os.getpid()}.log"),
            year,
        )


def _level(options: Options) -> int:
    level = options.integer("minloglevel") if options.has("minloglevel") else level_from_environment()
    if not 0 <= level <= 3:
        raise UsageError(f"--minloglevel: expected 0 to 3, got {level}")
    return level


def _year(options: Options) -> bool:
    return options.switch("log_year_in_prefix") if options.has("log_year_in_prefix") else year_in_prefix()
