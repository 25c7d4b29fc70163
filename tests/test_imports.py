"""The order of the packages, and what an import costs.

Each part of caffelite imports only parts that stand before it in ``ORDER``, at the top of a module or inside a
function; so the code can be read in that order, and each stage be used without those after it.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "caffelite"

ORDER = [
    "types",
    "errors",
    "as_caffe",
    "child_path",
    "random",
    "python_layer",
    "resources",
    "atomic",
    "hdf5_disk",
    "fillers",
    "weights",
    "data",
    "prototxt",
    "proto",
    "net_spec",
    "coord_map",
    "draw",
    "resample",
    "io",
    "boxes",
    "layers",
    "graph",
    "params",
    "plan",
    "storage",
    "cpu|reference|cuda",
    "engine",
    "defaults",
    "executor",
    "dialects",
    "loading",
    "measured",
    "mirrors",
    "model",
    "layer_pages",
    "blob",
    "arguments",
    "net",
    "classifier|detector",
    "predict",
    "export",
    "testing",
    "logs",
    "solver",
    "pycaffe",
    "_caffe|run",
    "detection",
    "tools",
    "cli|demo",
    "__main__",
    "caffelite",
]
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names.split("|")}

HEAVY = {"cv2", "cupy", "google", "h5py", "lmdb", "numpy", "rich", "matplotlib", "sklearn"}


def part(module: str) -> str:
    """``caffelite.plan.build`` -> ``plan``; ``caffelite`` itself is a part as well."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and module of each import of caffelite's own in a file, wherever it stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if part(alias.name) in RANK)
        elif isinstance(node, ast.ImportFrom) and node.module == "caffelite":
            names = [alias.name for alias in node.names]
            yield from ((node.lineno, f"caffelite.{name}") for name in names if name in RANK)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("caffelite."):
            yield node.lineno, node.module or ""


def modules() -> list[tuple[str, Path]]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        found.append((name, path))
    return found


def test_every_part_has_its_place() -> None:
    parts = {part(name) for name, _ in modules()}
    assert parts == set(RANK), "add the new part to ORDER, after what it imports"


@pytest.mark.parametrize(("name", "path"), modules(), ids=[name for name, _ in modules()])
def test_imports_point_back(name: str, path: Path) -> None:
    own = part(name)
    wrong = [
        f"{name}:{line} imports {imported}"
        for line, imported in imports(path)
        if part(imported) != own and RANK[part(imported)] > RANK[own]
    ]
    assert not wrong, "\n".join(wrong)


def test_the_walk_sees_an_import_inside_a_function(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        "def f():\n    from caffelite.solver.solver import Solver\n    import caffelite.cli.main\n    from caffelite import net\n"
    )
    assert list(imports(path)) == [
        (2, "caffelite.solver.solver"),
        (3, "caffelite.cli.main"),
        (4, "caffelite.net"),
    ]


# -- what is loaded --------------------------------------------------------------------------------------------


def loaded(code: str) -> set[str]:
    """Modules that a fresh interpreter has after some code; ``libdnnl`` is the oneDNN library."""
    report = (
        "\nimport sys, pathlib\nmaps = pathlib.Path('/proc/self/maps')\n"
        "names = set(sys.modules) | ({'libdnnl'} if maps.exists() and 'libdnnl' in maps.read_text() else set())\n"
        "print(' '.join(names))"
    )
    run = [sys.executable, "-W", "error", "-c", code + report]
    result = subprocess.run(run, capture_output=True, text=True, cwd=PACKAGE.parent, check=False)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def test_importing_loads_nothing_heavy() -> None:
    names = loaded("import caffelite")
    assert not names & HEAVY and "libdnnl" not in names
    assert {name for name in names if name.startswith("caffelite.")} == set()


NET = 'layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 dim: 3 } } } layer { name: "s" type: "Softmax" bottom: "d" top: "s" }'


def test_a_net_on_the_reference_engine_needs_numpy_and_protobuf_alone() -> None:
    code = (
        "from caffelite.model import Model\nfrom caffelite.prototxt.source import parse_net\n"
        f"Model(parse_net('{NET}'), engine='reference').forward()"
    )
    names = loaded(code)
    assert names & HEAVY == {"google", "numpy"} and "libdnnl" not in names


def test_all_public_names_are_there() -> None:
    code = "import caffelite\nfor name in caffelite.__all__: getattr(caffelite, name)\nassert set(caffelite.__all__) <= set(dir(caffelite))"
    assert not loaded(code) & {"cv2", "lmdb", "matplotlib", "sklearn"}


def test_an_unknown_name() -> None:
    import caffelite

    with pytest.raises(AttributeError, match="module 'caffelite' has no attribute 'Nett'"):
        _ = caffelite.Nett
