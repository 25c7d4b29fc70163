"""What a verb of the command line is, and the flags that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caffelite.cli.flags import Flag, Options
from caffelite.engine import ENGINES, WORDS, get_engine, gpu_engine
from caffelite.errors import MissingFileError, UsageError


@dataclass(frozen=True)
class Command:
    """A verb. ``run`` returns the exit code; errors are exceptions."""

    summary: str
    run: Callable[[Options], int]
    flags: tuple[Flag, ...] = ()
    usage: str = ""  # the words after the verb that are no flags
    text: str = ""  # more for ``caffelite help VERB``
    examples: tuple[str, ...] = ()
    words: tuple[int, int | None] = (0, 0)  # how many words that are no flags it takes
    progress: bool = False  # on a terminal, Caffe's lines stand above a progress bar


LOG_FORMATS = ("caffe", "rich", "json")
PHASES = ("TRAIN", "TEST")

EVERYWHERE = (
    Flag("traceback", False, "show where in the code an error was raised"),
    Flag("lenient", False, "fields that nobody knows, or no layer acts on, are warnings, not errors"),
    Flag("log-format", "caffe", "form of the log: caffe (as glog writes), rich (to read), json", "FORMAT",
         LOG_FORMATS),
    Flag("minloglevel", 0, "least severity logged: 0 all, 1 warnings, 2 errors (also GLOG_minloglevel)", "N"),
    Flag("log_dir", "", "also write the log to a file in this folder, made if need be", "DIR"),
    Flag("log_year_in_prefix", False, "dates with a year, which Caffe's own log parsers do not read"),
    Flag("logtostderr", True, "standard error always gets the log", hidden=True),
    Flag("alsologtostderr", True, "standard error always gets the log", hidden=True),
)  # fmt: skip

STATE = (
    Flag("level", 0, "level of the net's state, for include and exclude rules", "N"),
    Flag("stage", "", "stages of the net's state, with commas between", "NAMES"),
)

ENGINE = (
    Flag("gpu", "", "number of the GPU to compute on, or all where there is one: --engine cuda", "ID"),
    Flag(
        "engine",
        "cpu",
        "cpu (oneDNN and NumPy), cuda (CuPy) or reference (plain NumPy, slow)",
        "NAME",
        ENGINES,
    ),
    Flag(
        "precision",
        "float32",
        "float32; bf16 on the CPU engine; float64 on the reference engine",
        "TYPE",
        WORDS,
    ),
    Flag("threads", 0, "threads that compute; 0: the physical cores that this process may use", "N"),
    Flag("seed", -1, "seed of random numbers; -1: the file's, or a new one", "N"),
)

PHASE = Flag("phase", "TEST", "phase of the net: TRAIN or TEST", "PHASE", PHASES)


def apply_engine(options: Options) -> None:
    """Sets the number of threads, and looks for the GPU if one is wanted. Raises DeviceError, UsageError."""
    if (name := engine_name(options)).startswith("cuda"):
        get_engine(name, options.text("precision"))
    threads = options.integer("threads")
    if threads < 0:
        raise UsageError(f"--threads: expected at least 1, or 0 for the default, got {threads}")
    if threads:
        from caffelite.cpu.threads import set_threads

        set_threads(threads)


def engine_name(options: Options) -> str:
    """The engine that the flags of ``ENGINE`` ask for: ``-gpu 0`` means ``cuda:0``. Raises DeviceError, UsageError."""
    gpu = options.values["gpu"]
    if not gpu:
        return options.text("engine")
    if options.has("engine") and options.text("engine") != "cuda":
        raise UsageError(
            f"-gpu and --engine {options.text('engine')} exclude each other\n  Fix: leave one of them out"
        )
    return gpu_engine("0" if gpu is True else str(gpu))


def engine_options(options: Options) -> dict[str, Any]:
    """What a Model or a Net is made with, as the flags of ``ENGINE`` ask for. Raises what ``apply_engine`` does."""
    apply_engine(options)
    return {
        "engine": engine_name(options),
        "precision": options.text("precision"),
        "seed": options.integer("seed"),
    }


_FILES = {"weights": "weights file", "snapshot": "solver state"}


def require_files(options: Options, *names: str) -> None:
    """Raises MissingFileError if a file that a flag names is not there, before anything is built."""
    for name in names:
        for path in options.items(name) if name == "weights" else filter(None, [options.text(name)]):
            if not Path(path).exists():
                raise MissingFileError(path, _FILES[name])


def required(options: Options, name: str, why: str) -> str:
    """The text of a flag. Raises UsageError with Caffe's words if it is empty."""
    text = options.text(name)
    if not text:
        raise UsageError(f"{why} (-{name} FILE)")
    return text
