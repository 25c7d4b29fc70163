"""``caffelite show NET``: a net as any of the stages that it goes through."""

from __future__ import annotations

from caffelite.cli.command import ENGINE, PHASE, STATE, Command, apply_engine, engine_name
from caffelite.cli.flags import Flag, Options
from caffelite.cli.nets import SHAPE, graph_of, shapes_of, state_of
from caffelite.engine import get_engine
from caffelite.graph.graph import Graph
from caffelite.graph.state import require_layers
from caffelite.prototxt.source import NetSource, read_net
from caffelite.prototxt.write import write_text

_STAGES = ("messages", "graph", "plan")
_LEVEL = STATE[0]


def _run(options: Options) -> int:
    apply_engine(options)
    source = read_net(options.arguments[0])
    stage = options.text("stage")
    if stage == "messages":
        require_layers(source, state_of(source, options, "net-stage"), source.message.layer)
        print(_messages(source), end="")
        return 0
    graph = graph_of(
        source, state_of(source, options, "net-stage"), shapes_of(options), options.switch("force_backward")
    )
    print(graph if stage == "graph" else _plan(graph, options))
    return 0


def _messages(source: NetSource) -> str:
    return "".join(f"# {note}\n" for note in source.notes) + write_text(source.message)


def _plan(graph: Graph, options: Options) -> str:
    from caffelite.plan.build import make_plan

    engine = get_engine(engine_name(options), options.text("precision"))
    return str(
        make_plan(
            graph, engine, observe=options.switch("observe"), backward=options.switch("backward"),
            fuse=options.switch("fuse"),
        )
    )  # fmt: skip


COMMAND = Command(
    "a net as messages (upgraded text), as a graph, or as the plan that an engine runs",
    _run,
    (
        Flag("stage", "graph", "what to show: messages, graph or plan", "STAGE", _STAGES),
        PHASE, _LEVEL, Flag("net-stage", "", STATE[1].help, "NAMES"), SHAPE,
        Flag("observe", False, "plan: keep every blob, as the Python API does"),
        Flag("backward", True, "plan: gradients too"),
        Flag("fuse", True, "plan: activations may run inside the layer before them"),
        Flag("force_backward", False, "gradients of all blobs, as force_backward in the net"),
        *ENGINE,
    ),
    "NET",
    "In the graph, ip1@0 and ip1@1 are the versions of a blob that a layer overwrites, x' is a bottom whose"
    " gradient is computed, and Splits stand where several layers read one blob. The plan names each "
    "layer's kernel, why better ones were not taken, and where its tops lie in memory.",
    ("caffelite show deploy.prototxt --stage plan", "caffelite show train_val.prototxt --phase TRAIN"),
    (1, 1),
)  # fmt: skip
