"""pycaffe's solver classes and module functions, over :mod:`caffelite.solver`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, ClassVar
from uuid import uuid4

from caffelite import defaults
from caffelite.arguments import checked_integer
from caffelite.blob import Living
from caffelite.errors import ArgumentTypeError, DeviceError
from caffelite.layers.registry import layer_types
from caffelite.logs.log import get_log
from caffelite.net import Net
from caffelite.prototxt.lenience import is_lenient, reading
from caffelite.prototxt.source import SolverSource, read_solver
from caffelite.solver.solver import Solver


class PySolver(Living):
    """A solver as pycaffe has it: ``net``, ``test_nets``, ``iter``, ``step``, ``solve``, ``restore``, ``snapshot``.

    ``lenient``: see Model, for the solver's file and its nets. Raises what :class:`caffelite.solver.solver.Solver`
    raises.
    """

    instead: ClassVar[str] = "solver.snapshot(), and restore(file) in another solver"
    rule: ClassVar[str] = ""  # what the class's name says; it overrules the file's type

    def __init__(
        self,
        solver_file: str,
        *,
        engine: str | None = None,
        precision: str = "float32",
        seed: int | None = None,
        lenient: bool | None = None,
    ):
        with reading(lenient=is_lenient(lenient)):
            self._build(solver_file, engine, precision, seed)

    def _build(self, solver_file: str, engine: str | None, precision: str, seed: int | None) -> None:
        source = solver_file if isinstance(solver_file, SolverSource) else read_solver(solver_file)
        if self.rule:
            source.message.type = self.rule
        if seed is None and source.message.random_seed < 0:
            seed = defaults.next_seed()
        self._solver = Solver(source, engine=engine or defaults.engine(), precision=precision, seed=seed)
        self.net = Net.of(self._solver.net)
        self.test_nets = [Net.of(model) for model in self._solver.test_nets]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of net '{self.net.name}', iteration {self.iter}>"

    @property
    def iter(self) -> int:
        """Updates done."""
        return self._solver.iter

    @property
    def lr(self) -> float:
        """The rate that the next update will have."""
        return self._solver.lr

    @property
    def param(self) -> Any:
        """The SolverParameter message; ``base_lr`` and the like may be written."""
        return self._solver.param

    def step(self, iterations: int) -> None:
        """Trains for some iterations; writes no snapshot at the end, unlike ``solve``."""
        self._follow()
        self._solver.step(checked_integer("step", iterations))

    def solve(self, resume_file: str | None = None) -> None:
        """Trains up to ``max_iter``, from a state if one is given; then snapshots and tests as the file says."""
        self._follow()
        self._solver.solve(resume_file)

    def restore(self, state_file: str) -> None:
        """Goes on from a solver state, in either format."""
        self._solver.restore(state_file)

    def snapshot(self) -> None:
        """Writes weights and state under the file's ``snapshot_prefix``."""
        self._solver.snapshot()

    def apply_update(self) -> None:
        """One update from the gradients as they stand; raises ``iter`` by one."""
        self._solver.apply_update()

    def add_callback(
        self, on_start: Callable[[], None] | NCCL, on_gradients_ready: Callable[[], None] | None = None
    ) -> None:
        """Calls ``on_start`` before each iteration's passes and ``on_gradients_ready`` before each update.

        A test that is due comes before ``on_start``. The NCCL object of a single process has nothing to do.
        """
        if not isinstance(on_start, NCCL):
            self._solver.add_callback(on_start, on_gradients_ready or _nothing)

    def share_weights(self, net: Net) -> None:
        """Makes another net use the training net's parameters."""
        if not isinstance(net, Net):
            raise ArgumentTypeError(f"share_weights: expected a Net, got {type(net).__name__}")
        net.share_with(self.net)

    def _follow(self) -> None:
        """Inputs whose blobs were reshaped are followed before the first pass."""
        self.net.reshape()
        for net in self.test_nets:
            net.reshape()


class SGDSolver(PySolver):
    """Stochastic gradient descent with momentum."""

    rule = "SGD"


class NesterovSolver(PySolver):
    """Nesterov's accelerated gradient."""

    rule = "Nesterov"


class AdaGradSolver(PySolver):
    """AdaGrad (Duchi et al., 2011)."""

    rule = "AdaGrad"


class RMSPropSolver(PySolver):
    """RMSProp (Tieleman and Hinton, 2012)."""

    rule = "RMSProp"


class AdaDeltaSolver(PySolver):
    """AdaDelta (Zeiler, 2012)."""

    rule = "AdaDelta"


class AdamSolver(PySolver):
    """Adam (Kingma and Ba, 2015)."""

    rule = "Adam"


_CLASSES: Sequence[type[PySolver]] = (
    SGDSolver, NesterovSolver, AdaGradSolver, RMSPropSolver, AdaDeltaSolver, AdamSolver,
)  # fmt: skip


def get_solver(solver_file: str, **options: Any) -> PySolver:
    """The solver class that the file's ``type`` names."""
    source = read_solver(solver_file, lenient=options.get("lenient"))
    for cls in _CLASSES:
        if cls.rule == source.message.type:
            return cls(source, **options)  # type: ignore[arg-type]
    return PySolver(source, **options)  # type: ignore[arg-type]  # an unknown type: the solver says so


def layer_type_list() -> list[str]:
    """Names of all layer types."""
    return layer_types()


def set_multiprocess(multiprocess: bool) -> None:
    """Accepted: one process trains, with or without."""


def set_solver_count(count: int) -> None:
    """Raises DeviceError for more than one solver: training runs in one process."""
    if count != 1:
        raise DeviceError(
            f"set_solver_count({count}): this version trains in one process\n  Fix: set_solver_count(1)"
        )


def set_solver_rank(rank: int) -> None:
    """Raises DeviceError for another rank than 0, that of the only solver."""
    if rank != 0:
        raise DeviceError(f"set_solver_rank({rank}): this version trains in one process, rank 0")


def solver_count() -> int:
    """How many solvers train together: 1."""
    return 1


def solver_rank() -> int:
    """The number of this solver among them: 0."""
    return 0


def has_nccl() -> bool:
    """Whether GPUs can train together: not in this version."""
    return False


class NCCL:
    """pycaffe's link between solvers. With one solver there is nothing to send."""

    def __init__(self, solver: PySolver, uid: bytes = b""):
        self.solver, self.uid = solver, uid

    @staticmethod
    def new_uid() -> bytes:
        """A name for a group of solvers."""
        return uuid4().bytes

    def bcast(self) -> None:
        """Sends the first solver's weights to the others, of which there are none."""


class Timer:
    """A stopwatch: ``start()``, ``stop()``, ``ms``."""

    def __init__(self) -> None:
        self._began, self._seconds = 0.0, 0.0

    def start(self) -> None:
        """Begins to measure."""
        self._began = perf_counter()

    def stop(self) -> None:
        """Ends the measurement."""
        self._seconds = perf_counter() - self._began

    @property
    def ms(self) -> float:
        """Milliseconds between ``start()`` and ``stop()``."""
        return 1e3 * self._seconds


def _nothing() -> None:
    """For a callback that was not given."""


def log(message: str) -> None:
    """Writes a line to the log."""
    get_log().emit("message", message, where="_caffe.cpp:1")
