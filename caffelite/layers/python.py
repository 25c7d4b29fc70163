"""Python."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import zip_longest
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from caffelite.as_caffe import install_as_caffe
from caffelite.errors import NetError, layer_message
from caffelite.layers.base import Layer
from caffelite.prototxt.suggest import suggestion
from caffelite.python_layer import ArrayBlob, KeyedLayer, NamedPhase
from caffelite.python_layer import Layer as UserLayer
from caffelite.random import RandomSource
from caffelite.types import Shape

_log = logging.getLogger(__name__)

_BUILT_IN = {
    "roi_data_layer.layer": "caffelite.boxes.roi_data_layer",
    "rpn.anchor_target_layer": "caffelite.boxes.rpn_layers",
    "rpn.proposal_layer": "caffelite.boxes.rpn_layers",
    "rpn.proposal_target_layer": "caffelite.boxes.rpn_layers",
}


class Python(Layer):
    """A layer written in Python: class ``layer`` of module ``module``, a subclass of ``caffe.Layer``.

    Bottoms, tops: any number, none included; ``reshape`` or ``forward`` of the class gives the tops' shapes, which
             may change from pass to pass.
    Params:  what ``setup`` or the first ``reshape`` adds with ``self.blobs.add_blob(*shape)``, with the values that they
             give them.
    Gradient: what ``backward(top, propagate_down, bottom)`` writes to the bottoms' and params' diffs.
    Module:  looked for in Python's path, in the working directory and beside the prototxt. ``import caffe`` in it gives
             caffelite. Only if there is none are the four modules of py-faster-rcnn's prototxts those of caffelite:
             ``roi_data_layer.layer``, ``rpn.anchor_target_layer``, ``rpn.proposal_layer``, ``rpn.proposal_target_layer``.
             The log says so, once for each of them.
    Raises:  NetError for a module, class or method that is not there; what the class raises comes through as it is, with a
             note that names the layer.
    Compatibility: ``self.phase`` is 0 or 1 as in BVLC Caffe and prints as TRAIN or TEST as the forks' layers expect;
             ``self.param_str_`` is ``self.param_str``. Bottoms and tops are arrays in C order.
    Example: x [[1, 2]]; python_param { module: "double_layer" layer: "Double" }
    Source:  BVLC Caffe, python_layer.hpp.
    """

    bottoms: ClassVar[tuple[str, ...]] = ("x*",)
    tops: ClassVar[tuple[str, ...]] = ("y*",)
    message: ClassVar[str] = "python_param"
    host: ClassVar[bool] = True

    def setup(self) -> None:
        self._declare("bottoms", self.spec.bottom, "x")
        self._declare("tops", self.spec.top, "y")
        if "user" not in self.session:
            self.session["user"] = self._make()
        self.steady = isinstance(self.user, KeyedLayer) and self.user.steady

    def _declare(self, what: str, names: Sequence[str], own: str) -> None:
        """No bottoms (or tops) at all are right too."""
        if not names:
            setattr(self, what, ())
            self.absent |= {own, f"d{own}"}

    @property
    def user(self) -> Any:
        """The user's object, which outlives a change of shape."""
        return self.session["user"]

    # -- the class --------------------------------------------------------------------------------------

    def _make(self) -> Any:
        cls = self._class()
        with self._telling("__init__"):
            user = cls(self.spec)
        user.param_str = user.param_str_ = self.p.param_str
        user.phase = NamedPhase(self.phase)
        user.type = self.type
        if isinstance(user, KeyedLayer):
            user.name, user.random = self.name, self.random or RandomSource(0)
        return user

    def _class(self) -> type[UserLayer]:
        module = self._module()
        cls = getattr(module, self.p.layer, None)
        if cls is None:
            names = [name for name, value in vars(module).items() if isinstance(value, type)]
            fix = suggestion(self.p.layer, names).strip("; ,")
            raise self.error(
                f"a class '{self.p.layer}' in module '{self.p.module}'",
                f"none in {module.__file__}",
                fix,
                "layer",
            )
        if not (isinstance(cls, type) and issubclass(cls, UserLayer)):
            raise self.error(
                f"'{self.p.layer}' to be a subclass of caffe.Layer", cls, "class ...(caffe.Layer):", "layer"
            )
        for method in ("setup", "reshape", "forward"):
            self._require(cls, method, "(bottom, top)")
        return cls

    def _require(self, cls: type, method: str, arguments: str) -> None:
        if not hasattr(cls, method):
            raise self.error(f"a method {method}{arguments} in class '{self.p.layer}'", "none", field="layer")

    def _module(self) -> Any:
        if self.p.module[:1] in ("", "."):
            fix = "write its name as an import statement has it, without .py and without folders"
            raise self.error("the name of a module", f"'{self.p.module}'", fix, "module")
        install_as_caffe()
        places = [os.getcwd(), str(Path(self.location().file).resolve().parent)]
        try:
            importlib.invalidate_caches()  # the file may be as young as this process
            with _also_in(places), self._telling(f"importing module '{self.p.module}'"):
                return importlib.import_module(self.p.module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{self.p.module}.".startswith(f"{error.name}."):
                raise  # the module is there, something that it imports is not
            if self.p.module in _BUILT_IN:
                return _built_in(self.p.module)
            where = f"none in Python's path, {' or '.join(dict.fromkeys(places))}"
            fix = "set PYTHONPATH to the folder that holds it"
            raise self.error(f"a module '{self.p.module}'", where, fix, "module") from error
        except SyntaxError as error:
            if self.p.module in _BUILT_IN:
                error.add_note(
                    "caffelite has this module built in: take the file out of Python's path to use that"
                )
            raise

    # -- shapes -----------------------------------------------------------------------------------------

    def infer(self, shapes: Sequence[Shape]) -> list[Shape]:
        """The user's ``setup`` runs once, ``reshape`` for each new set of bottom shapes."""
        if self.session.get("bottoms") != list(shapes):
            self._reshape(list(shapes))
        for i, values in enumerate(self.session["values"]):
            self.param(f"blob{i}", values.shape, value=values)
        return list(self.session["tops"])

    def _reshape(self, shapes: list[Shape]) -> None:
        bottom, top = self._blobs(shapes)
        first = "values" not in self.session
        if first:
            self._run("setup", bottom, top)
        self._run("reshape", bottom, top)
        if first:  # the first reshape is a part of setting up, and may add blobs too
            self.session["values"] = [np.array(blob.data) for blob in self.user.blobs]
        self._remember(shapes, top)

    def _blobs(self, shapes: Sequence[Shape] = ()) -> tuple[list[ArrayBlob], list[ArrayBlob]]:
        """The bottoms and tops that the user's object sees; a blob in place is one blob, as in Caffe."""
        names = list(self.spec.bottom)
        if "blobs" not in self.session:
            bottom = [ArrayBlob() for _ in names]
            pairs = zip_longest(self.spec.top, names[: len(self.spec.top)])
            top = [bottom[i] if a == b else ArrayBlob() for i, (a, b) in enumerate(pairs)]
            self.session["blobs"] = bottom, top
        bottom, top = self.session["blobs"]
        for blob, shape in zip(bottom, shapes, strict=False):
            blob.reshape(*shape)
        return bottom, top

    def _remember(self, bottoms: list[Shape], top: list[ArrayBlob]) -> None:
        self.session["bottoms"] = bottoms
        self.session["tops"] = [blob.shape for blob in top]

    def _run(self, method: str, *arguments: Any) -> None:
        with self._telling(method):
            getattr(self.user, method)(*arguments)

    @contextmanager
    def _telling(self, what: str) -> Iterator[None]:
        """What the user's code raises gets a note that names the layer."""
        try:
            yield
        except Exception as error:
            self.tell(error, what)
            raise

    def state(self) -> dict[str, Any]:
        return self.user.state() if isinstance(self.user, KeyedLayer) else {}

    def restore(self, state: dict[str, Any]) -> None:
        if isinstance(self.user, KeyedLayer):
            self.user.restore(state)

    # -- passes -----------------------------------------------------------------------------------------

    def measure(self, xp: Any, x: Any, blobs: Any, rng: Any) -> list[Shape]:
        """Runs the user's ``reshape`` and ``forward``: either may give the tops their shapes."""
        bottom, top = self._blobs()
        for blob, values in zip(bottom, x or [], strict=True):
            blob.lend(values.copy() if any(blob is t for t in top) else values)
        for blob in top:
            blob.cast(next((values.dtype for values in (*(x or ()), *blobs)), np.float32))
        self._lend_params(blobs)
        if isinstance(self.user, KeyedLayer):
            self.user.rng = rng
        self._run("reshape", bottom, top)
        self._run("forward", bottom, top)
        self._remember([values.shape for values in x or []], top)
        return list(self.session["tops"])

    def forward(self, xp: Any, y: Any) -> None:
        for values, blob in zip(y or [], self._blobs()[1], strict=True):
            values[...] = blob.data

    def backward(self, xp: Any, x: Any, dy: Any, dx: Any, blobs: Any, dblobs: Any) -> None:
        if not hasattr(self.user, "backward"):
            raise NetError(
                layer_message(
                    self.name, self.type, self.location(),
                    f"expected a method backward(top, propagate_down, bottom) in class '{self.p.layer}'", "none",
                    "write one, or stop gradients with propagate_down: false",
                )
            )  # fmt: skip
        bottom, top = self._blobs()
        for blob, values in zip(bottom, x or [], strict=True):
            if not any(blob is t for t in top):
                blob.lend(values)
        for blob, gradient in zip(top, dy or [], strict=True):
            blob.lend(diff=np.zeros_like(blob.data) if gradient is None else gradient.copy())
        self._lend_params(blobs, dblobs)
        self._run("backward", top, [gradient is not None for gradient in dx or []], bottom)
        for blob, gradient in zip(bottom, dx or [], strict=True):
            if gradient is not None:
                gradient[...] = blob.diff

    def _lend_params(self, blobs: Any, dblobs: Any = ()) -> None:
        for blob, values, gradient in zip_longest(self.user.blobs, blobs, dblobs):
            blob.lend(values, gradient)


@cache
def _built_in(module: str) -> ModuleType:
    """caffelite's own module for one of py-faster-rcnn's, which is told once in a process."""
    own = _BUILT_IN[module]
    _log.info("Python module '%s' is not in the path: caffelite's own, %s, is used", module, own)
    return importlib.import_module(own)


@contextmanager
def _also_in(places: list[str]) -> Iterator[None]:
    """Lets imports look in more folders, after Python's own path."""
    added = [place for place in places if place not in sys.path]
    sys.path += added
    try:
        yield
    finally:
        for place in added:
            if place in sys.path:
                sys.path.remove(place)
