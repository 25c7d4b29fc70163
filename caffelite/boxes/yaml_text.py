"""YAML as ``param_str`` and py-faster-rcnn's cfg files have it, read without running any code."""

from __future__ import annotations

from typing import Any

from caffelite.errors import UsageError


def read_yaml(text: str, what: str) -> dict[str, Any]:
    """A mapping from YAML text; nothing at all is an empty one. ``!!python/tuple`` makes a tuple.

    Other tags of Python, which could run code, are refused. Raises UsageError with ``what``, line and column.
    """
    import yaml

    loader: Any = type("Loader", (yaml.SafeLoader,), {})
    tuples = "tag:yaml.org,2002:python/tuple"
    loader.add_constructor(tuples, lambda self, node: tuple(self.construct_sequence(node, deep=True)))
    try:
        values = yaml.load(text, loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise UsageError(f"{what}{place}: expected YAML; {error.problem}") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{what}: expected YAML; {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UsageError(f"{what}: expected names and values, as 'feat_stride': 16, got {values!r}")
    return values
