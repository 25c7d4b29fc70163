"""A net that lives: parameters, memory, and a plan for each input shape it has met.

    model = Model.load("deploy.prototxt", "weights.caffemodel", engine="cpu", precision="float32", seed=1)
    loss = model.forward()

The solver, the pycaffe names and the command line all stand on this class.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from caffelite.engine import get_engine
from caffelite.errors import CaffeliteError, UsageError
from caffelite.executor import Executor, Hooks, Passes
from caffelite.fillers import fill
from caffelite.graph.build import build_graph
from caffelite.graph.graph import Graph, Node, ParamUse
from caffelite.graph.reshaped import reshaped
from caffelite.graph.state import State, net_state
from caffelite.layers.base import measures
from caffelite.loading import LoadReport, blobs_in_net, check_shared, load_params
from caffelite.measured import forward_measured
from caffelite.mirrors import Mirrors
from caffelite.params import Array, Param
from caffelite.plan.build import make_plan
from caffelite.plan.kernel import Engine
from caffelite.plan.known import KnownKernels
from caffelite.prototxt.source import NetSource, as_net
from caffelite.prototxt.suggest import suggestion
from caffelite.random import RandomSource
from caffelite.storage import Storage, check_param_memory
from caffelite.types import Phase, Shape, shape_text
from caffelite.weights import LayerRecord, load_weights, write_caffemodel, write_hdf5_weights

MAX_PLANS = 8  # shapes whose plans are kept; the least recently used goes first
MAX_MEASURED_PLANS = 64  # in nets whose layers decide shapes during a pass

Shapes = dict[str, Shape]


class Model:
    """A net for one phase on one engine: ``Model("deploy.prototxt")``, or from a NetSource.

    ``observe=True`` keeps every blob for the user to look at; ``False`` lets the plan reuse memory. ``backward``:
    whether gradients will ever be asked for. ``lenient=True`` passes over fields that nobody knows, with a warning
    for each. ``seed`` fixes fillers, dropout and data draws; -1 takes a fresh one, which ``model.random.seed`` shows.
    """

    def __init__(
        self,
        source: str | Path | NetSource,
        phase: int = Phase.TEST,
        *,
        state: State | None = None,
        level: int = 0,
        stages: Sequence[str] = (),
        engine: Engine | str = "cpu",
        precision: str = "float32",
        seed: int = -1,
        observe: bool = True,
        backward: bool = True,
        fuse: bool = True,
        force_backward: bool = False,
        share: Model | None = None,
        lenient: bool | None = None,
    ):
        self.source = source = as_net(source, lenient=lenient)
        self.state = state or net_state(source, phase, level, stages)
        self.engine = get_engine(engine, precision) if isinstance(engine, str) else engine
        self.random: RandomSource = share.random if share else RandomSource(seed)
        self.observe, self.backward_wanted, self.fuse = observe, backward, fuse
        self.passes, self.hooks = Passes(), Hooks()
        self._force_backward = force_backward
        self._sessions: dict[str, dict[str, Any]] = {}
        self._plans: OrderedDict[tuple[tuple[str, Shape], ...], Executor] = OrderedDict()
        self._known = KnownKernels()
        self.storage = Storage(self.engine)
        self.mirrors = Mirrors(self.storage)
        graph = self._build({})
        self._shapes, self._measured = _free_shapes(graph), {}  # type: Shapes, Shapes
        self.measuring = [node.index for node in graph.nodes if measures(node.layer)]
        check_param_memory(graph, np.dtype(self.engine.dtype).itemsize, self.engine.memory_limit())
        self.params: dict[str, list[Param]] = self._make_params(graph)
        self.executor = self._executor_for(graph, self._shapes)
        self.observe = self.executor.plan.observe
        own = blobs_in_net(graph.nodes, source.file or "the net's message")
        if own:
            load_params(self, own, source.file or "the net's message")
        if share:
            self.share_params(share)

    @classmethod
    def load(cls, net: str | Path | NetSource, weights: str | Path | None = None, **options: Any) -> Model:
        """Reads a prototxt and, if given, a weights file. Options are those of the constructor."""
        model = cls(net, **options)
        if weights is not None:
            model.load_weights(weights)
        return model

    # -- the net ----------------------------------------------------------------------------------------

    @property
    def graph(self) -> Graph:
        return self.executor.plan.graph

    @property
    def nodes(self) -> Sequence[Node]:
        return self.graph.nodes

    @property
    def name(self) -> str:
        return self.graph.name

    @property
    def phase(self) -> Phase:
        return self.graph.phase

    @property
    def learnables(self) -> list[tuple[ParamUse, Param]]:
        """Owned parameters in Caffe's order, statistics included."""
        return [(use, self.params[use.layer][use.index]) for use in self.graph.params]

    def params_of(self, node: Node) -> list[Param]:
        """The parameters of a layer; none for one that shares only its name with a layer that has some."""
        return self.params[node.store] if node.params else []

    # -- shapes -----------------------------------------------------------------------------------------

    def reshape(self, shapes: Mapping[str, Sequence[int]]) -> None:
        """Gives inputs (or tops of data layers) other shapes; everything after them follows.

        Plans are kept by shape. Tops of Python layers have such a shape until the layer runs again. Raises
        NetError where the net cannot take the shapes, and is then as before.
        """
        self._check_free(shapes)
        wanted = {name: tuple(map(int, shape)) for name, shape in shapes.items()}
        free = {name: wanted.get(name, shape) for name, shape in self._shapes.items()}
        self._use(free, {name: shape for name, shape in wanted.items() if name not in free})

    def is_free(self, blob: str) -> bool:
        """Whether a blob can be reshaped: the shapes of others follow from these."""
        makers = (self.nodes[i] for i in self.measuring)  # of these, Python layers that make data
        return blob in self._shapes or any(
            blob == top.name for node in makers if not node.bottoms for top in node.tops
        )

    def take_measured(self, index: int, shapes: Sequence[Shape]) -> None:
        """Goes over to a plan in which the tops of a layer that measures have other shapes, in the middle of a pass.

        What layers before it have computed stays where it is, since such nets keep every blob.
        """
        node = self.nodes[index]
        now = {value.name: tuple(map(int, shape)) for value, shape in zip(node.tops, shapes, strict=False)}
        if all(now[value.name] == value.shape for value in node.tops):
            return
        times = self.executor.times
        self._use(self._shapes, self._guesses(index) | now)
        self.executor.times = times

    def _guesses(self, index: int) -> Shapes:
        """Of what was measured last, the shapes that stay when a layer has new ones."""
        layers = [self.nodes[i] for i in self.measuring if i < index or self.nodes[i].layer.steady]
        names = {value.name for node in layers for value in node.tops}
        return {name: shape for name, shape in self._measured.items() if name in names}

    def _use(self, free: Shapes, measured: Shapes) -> None:
        """Takes the plan for these shapes, or makes it; what measuring layers have not measured, they infer."""
        key = _key(wanted := free | measured)
        for old in [
            old for old, executor in self._plans.items() if executor.stale and executor is not self.executor
        ]:
            del self._plans[old]  # it would keep alive the memory that the net has outgrown
        before, known = self.executor, self._plans.get(key)
        self.executor = known or self._executor_for(self._reshaped(wanted), wanted)
        if self.executor is not before:
            self.executor.forget()  # plans share kernels, so those that it has may be bound elsewhere
        self._shapes, self._measured = free, measured
        self._plans.move_to_end(key)
        self.executor.prepare()

    def _check_free(self, shapes: Iterable[str]) -> None:
        for name in shapes:
            if not self.is_free(name):
                raise UsageError(
                    f"cannot reshape blob '{name}': its shape follows from the net's inputs "
                    f"({', '.join(sorted(self._shapes)) or 'none'})"
                )

    def _reshaped(self, shapes: Shapes) -> Graph:
        """The graph at hand with other shapes; built from the messages if it cannot take them, for all complaints."""
        with suppress(CaffeliteError):
            if (graph := reshaped(self.graph, shapes)) is not None:
                return graph
        return self._build(shapes)

    def _build(self, shapes: Shapes) -> Graph:
        return build_graph(
            self.source, state=self.state, shapes=shapes, sessions=self._sessions, random=self.random,
            force_backward=self._force_backward,
        )  # fmt: skip

    def _executor_for(self, graph: Graph, shapes: Shapes) -> Executor:
        self._check_params(graph)
        plan = make_plan(
            graph, self.engine, observe=self.observe, backward=self.backward_wanted, fuse=self.fuse,
            memory_limit=self.engine.memory_limit(), known=self._known,
        )  # fmt: skip
        executor = Executor(
            plan, self.engine, self.storage, self.params, self.random, self.passes, self.hooks
        )
        self._plans[_key(shapes)] = executor
        if len(self._plans) > (MAX_MEASURED_PLANS if self.measuring else MAX_PLANS):
            self._plans.popitem(last=False)
        return executor

    def _check_params(self, graph: Graph) -> None:
        for node in graph.nodes:
            for use in node.params:
                have = self.params[use.layer][use.index].shape
                if have != use.spec.shape:
                    raise node.layer.shape_error(
                        f"the new input shapes to keep param {use.index} ('{use.spec.name}') at {shape_text(have)}",
                        shape_text(use.spec.shape),
                        "this layer's weights fix the size of its bottom; only sizes that do not reach it may change",
                    )

    def follow_sources(self) -> None:
        """Reshapes the net if its data layers are about to deliver other shapes."""
        changed: Shapes = {}
        for node in self.nodes:
            if node.layer.source:
                shapes = node.layer.next_shapes()
                changed |= {
                    value.name: shape
                    for value, shape in zip(node.tops, shapes, strict=False)
                    if value.shape != shape
                }
        if changed:
            self.reshape(changed)

    # -- parameters -------------------------------------------------------------------------------------

    def _make_params(self, graph: Graph) -> dict[str, list[Param]]:
        params: dict[str, list[Param]] = {}
        for node in graph.nodes:
            mine = params.setdefault(node.store, [])
            for use in node.params:
                mine.append(self._make_param(use, params))
        return params

    def _make_param(self, use: ParamUse, params: dict[str, list[Param]]) -> Param:
        spec = use.spec
        if use.owner is not None:
            return params[use.owner.layer][use.owner.index].reshaped(spec.shape)
        rng = self.random.generator("filler", use.layer, use.index)
        dtype = np.dtype(self.engine.dtype)
        if spec.filler is None:
            return Param.lazy(spec.shape, dtype, lambda: np.full(spec.shape, spec.value, dtype))
        return Param.lazy(
            spec.shape, dtype, lambda: np.asarray(fill(spec.filler, spec.shape, rng, dtype), order="C")
        )

    def load_weights(self, path: str | Path) -> LoadReport:
        """Loads a caffemodel, HDF5 or safetensors file by layer names. Raises WeightsError or NetError."""
        return load_params(self, load_weights(path), str(path))

    def share_params(self, other: Model) -> None:
        """Uses another net's weights wherever layer names agree (pycaffe's ``share_with``); gradients stay apart.

        Raises NetError if the shapes of a layer's params differ, and shares nothing then.
        """
        found = {
            node: other.params[node.store]
            for node in self.nodes
            if node.params and other.params.get(node.store)
        }
        for node, theirs in found.items():
            check_shared(node, theirs)
        for node, theirs in found.items():
            for use, param in zip(node.params, theirs, strict=True):
                owner = self.params[use.owner.layer][use.owner.index] if use.owner else None
                shared = owner if owner and owner.shares_with(param) else None
                mine = shared.reshaped(use.spec.shape) if shared else param.twin()
                self.params[node.store][use.index] = mine
        for executor in self._plans.values():
            executor.forget()

    def records(self, diffs: bool = False) -> Iterator[LayerRecord]:
        """All layers as a weights file holds them."""
        for node in self.nodes:
            params = self.params_of(node)
            message = type(node.layer.spec)()
            message.CopyFrom(node.layer.spec)
            message.ClearField("blobs")
            yield LayerRecord(
                node.name,
                message.SerializeToString(),
                [param.data for param in params],
                [param.grad for param in params] if diffs else None,
                [use.owner is None for use in node.params],
            )

    def save(self, path: str | Path, *, hdf5: bool | None = None, diffs: bool = False) -> None:
        """Writes the weights, whole or not at all; HDF5 for names that end in ``.h5``. Raises SnapshotError."""
        if str(path).endswith(".h5") if hdf5 is None else hdf5:
            write_hdf5_weights(path, self.records(diffs))
        else:
            write_caffemodel(path, self.name, self.records(diffs))

    def clear_grads(self) -> None:
        """Makes all parameter gradients zero."""
        for params in self.params.values():
            for param in params:
                param.clear_grad()

    # -- passes -----------------------------------------------------------------------------------------

    def forward(self, start: int = 0, end: int | None = None) -> float:
        """Runs layers ``start`` to ``end`` (positions, inclusive); returns the loss.

        Raises UsageError for a position that there is not.
        """
        self._check_positions(start, end)
        if start == 0:
            self.follow_sources()
        whole = start == 0 and end in (None, len(self.nodes) - 1)
        with self.mirrors.passing(computed="data" if whole else ""):
            return forward_measured(self, start, end) if self.measuring else self.executor.forward(start, end)

    def backward(self, start: int | None = None, end: int = 0) -> None:
        """Runs gradients from layer ``start`` down to ``end`` (positions, inclusive)."""
        if not self.backward_wanted:
            raise UsageError(f"net '{self.name}' was made with backward=False")
        self._check_positions(end, start)
        with self.mirrors.passing():
            self.executor.backward(start, end)

    def _check_positions(self, *positions: int | None) -> None:
        for position in positions:
            if position is not None and not 0 <= position < max(1, len(self.nodes)):
                raise UsageError(f"net '{self.name}' has layers 0 to {len(self.nodes) - 1}, not {position}")

    def blob(self, name: str) -> Array:
        """The live memory of a blob, NCHW-shaped, maybe channels-last; its mirror where that is a device's. Raises UsageError for an unknown name."""
        value = self.graph.blobs.get(name)
        if value is None:
            raise UsageError(f"net '{self.name}' has no blob '{name}'{suggestion(name, self.graph.blobs)}")
        if self.engine.remote:
            return self.mirrors.view(self.executor.plan.data[value])
        self.mirrors.write_back()
        return self.executor.data(value)

    def input(self, name: str) -> Array:
        """The live array to write an input into, C-contiguous. Raises UsageError for a name that is no input."""
        for node in self.nodes:
            for value in node.tops:
                if node.type == "Input" and value.name == name:
                    return self.blob(name) if self.observe or self.engine.remote else self.executor.data(value)
        raise UsageError(
            f"net '{self.name}' has no input '{name}', only {', '.join(self.graph.inputs) or 'none'}"
        )

    def outputs(self) -> dict[str, Array]:
        """Copies of the net's outputs, C-contiguous."""
        return {name: np.array(self.blob(name), order="C") for name in self.graph.outputs}

    # -- going on later ---------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs besides weights: the count of passes and each layer's state."""
        layers = {node.key: node.layer.state() for node in self.nodes}
        return {
            "passes": self.passes.number,
            "layers": {name: state for name, state in layers.items() if state},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``state_dict`` gave; layers that it does not name stay as they are."""
        self.passes.number = int(state.get("passes", 0))
        for node in self.nodes:
            if node.key in state.get("layers", {}):
                node.layer.restore(state["layers"][node.key])

    def close(self) -> None:
        """Stops data workers and closes files. Passes of nets without data layers still run."""
        self.graph.close()


def _free_shapes(graph: Graph) -> Shapes:
    """The shapes that come from outside: those of the tops of Input and data layers."""
    return {value.name: value.shape for node in graph.nodes if node.layer.source for value in node.tops}


def _key(shapes: Shapes) -> tuple[tuple[str, Shape], ...]:
    return tuple(sorted(shapes.items()))
