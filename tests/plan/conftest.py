"""An engine that needs no library but fuses and refuses, random nets, and plans from text in one call."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import numpy as np
import pytest

from caffelite.graph.build import build_graph
from caffelite.plan.build import make_plan
from caffelite.plan.kernel import ArrayKernel, HostEngine, Kernel, Site
from caffelite.plan.plan import Plan
from caffelite.prototxt.source import parse_net
from caffelite.storage import aligned_zeros, memory_limit
from caffelite.types import Phase


class Fusing(ArrayKernel):
    """The array body, which can apply a ReLU to y at once."""

    name: ClassVar[str] = "fusing"
    posts: ClassVar[tuple[str, ...]] = ("ReLU",)

    def forward(self) -> None:
        super().forward()
        if self.site.post is not None:
            y = self.arrays["y"]
            for array in y if isinstance(y, list) else [y]:
                self.site.post.forward(np, array, array)  # type: ignore[attr-defined]

    def forward_plain(self) -> None:
        super().forward()


class Picky(Fusing):
    """Better, if only it took anything but five channels."""

    name: ClassVar[str] = "picky"

    @classmethod
    def refuses(cls, site: Site) -> str:
        return "" if site.many("y")[0].shape[1] == 5 else "it takes 5 channels only"


class ToyEngine(HostEngine):
    """Channels-last, with kernels for three types: what planning needs of a real engine."""

    name: str = "toy"
    dtype: str = "float32"
    precision: str = "float32"
    channels_last: bool = True

    def kernels(self, type_: str) -> Sequence[type[Kernel]]:
        return {"Convolution": (Picky, Fusing), "BatchNorm": (Fusing,), "InnerProduct": (Fusing,)}.get(
            type_, ()
        )

    def absent(self, type_: str) -> str:
        return "no kernel at all" if type_ == "LRN" else ""

    def compute(self) -> AbstractContextManager[None]:
        return nullcontext()

    def empty(self, nbytes: int) -> Any:
        return aligned_zeros(nbytes)

    def memory_limit(self) -> int:
        return memory_limit()


@pytest.fixture
def toy() -> ToyEngine:
    return ToyEngine()


@pytest.fixture
def planned(toy: ToyEngine) -> Callable[..., Plan]:
    """``planned(text, phase, engine=..., **options)``: the plan of a net."""

    def make(text: str, phase: Phase = Phase.TRAIN, engine: Any = toy, **options: Any) -> Plan:
        return make_plan(build_graph(parse_net(text, "net.prototxt"), phase), engine, **options)

    return make


class RandomNet:
    """A net of random layers, once with in-place layers and once without: ``text`` and ``text_apart``.

    Blobs that are equal in both are in ``names``: (layer index, name in place, name apart) for each version.
    """

    def __init__(self, seed: int, layers: int = 14):
        self.rng = random.Random(seed)
        self.lines: list[tuple[str, str]] = []
        self.names: list[tuple[str, str, str]] = []  # layer, blob in place, blob apart
        self.open: list[dict[str, Any]] = []  # blobs: name, apart, shape, readers
        self._source()
        for i in range(layers):
            self._layer(f"l{i}")
        self._losses()

    @property
    def text(self) -> str:
        return 'name: "random"\n' + "\n".join(line for line, _ in self.lines)

    @property
    def text_apart(self) -> str:
        return 'name: "random"\n' + "\n".join(line for _, line in self.lines)

    def _source(self) -> None:
        shape = (
            self.rng.randint(1, 3),
            self.rng.choice([1, 2, 4]),
            self.rng.choice([1, 4, 6]),
            self.rng.choice([4, 5]),
        )
        dims = " ".join(f"dim: {d}" for d in shape)
        self._add(
            "data", "DummyData", [], shape,
            f'dummy_data_param {{ shape {{ {dims} }} data_filler {{ type: "gaussian" std: 1 }} }}',
        )  # fmt: skip

    def _add(
        self,
        name: str,
        type_: str,
        bottoms: list[dict[str, Any]],
        shape: Any,
        text: str = "",
        inplace: bool = False,
        tops: int = 1,
    ) -> None:
        """``shape``: of each top. In place only where nobody else reads the blob."""
        shapes = shape if tops > 1 else [shape]
        inplace = inplace and not bottoms[0]["readers"] and not bottoms[0]["weighted"]
        for bottom in bottoms:
            bottom["readers"] += 1
        made = []
        for i, top in enumerate(shapes):
            apart = name if tops == 1 else f"{name}_{i}"
            made.append({
                "name": bottoms[0]["name"] if inplace else apart, "apart": apart, "shape": tuple(top), "readers": 0,
                "weighted": "loss_weight" in text,
            })  # fmt: skip
        if inplace:
            self.open.remove(bottoms[0])
        self.open += made
        self.names += [(name, top["name"], top["apart"]) for top in made]
        forms = []
        for key in ("name", "apart"):
            wires = "".join(f' bottom: "{b[key]}"' for b in bottoms) + "".join(
                f' top: "{t[key]}"' for t in made
            )
            forms.append(f'layer {{ name: "{name}" type: "{type_}"{wires} {text} }}')
        self.lines.append((forms[0], forms[1]))

    def _layer(self, name: str) -> None:
        x = self.rng.choice(self.open[-4:])
        kinds = [self._activation, self._activation, self._affine, self._view, self._joint, self._weighted]
        kinds += [self._spatial] * 4 if len(x["shape"]) == 4 else [self._product]
        self.rng.choice(kinds)(name, x)

    def _activation(self, name: str, x: dict[str, Any]) -> None:
        type_, text = self.rng.choice([
            ("ReLU", ""), ("ReLU", ""), ("ReLU", "relu_param { negative_slope: 0.1 }"), ("Sigmoid", ""), ("TanH", ""),
            ("Dropout", "dropout_param { dropout_ratio: 0.3 }"), ("Softmax", ""),
        ])  # fmt: skip
        self._add(name, type_, [x], x["shape"], text, inplace=self.rng.random() < 0.7)

    def _affine(self, name: str, x: dict[str, Any]) -> None:
        gaussian = 'filler { type: "gaussian" std: 1 }'
        type_, text = self.rng.choice([
            ("BatchNorm", ""), ("Scale", f"scale_param {{ {gaussian} bias_term: true }}"), ("Bias", f"bias_param {{ {gaussian} }}"),
            ("PReLU", ""),
        ])  # fmt: skip
        self._add(name, type_, [x], x["shape"], text, inplace=self.rng.random() < 0.7)

    def _weighted(self, name: str, x: dict[str, Any]) -> None:
        self._add(
            name,
            "Sigmoid",
            [x],
            x["shape"],
            f"loss_weight: {self.rng.choice([0.5, -1])}",
            inplace=self.rng.random() < 0.5,
        )

    def _view(self, name: str, x: dict[str, Any]) -> None:
        n, rest = x["shape"][0], int(np.prod(x["shape"][1:]))
        if self.rng.random() < 0.5:
            self._add(name, "Flatten", [x], (n, rest))
        else:
            same = self.rng.random() < 0.5
            dims = " ".join(["dim: 0"] * len(x["shape"])) if same else "dim: 0 dim: -1 dim: 1 dim: 1"
            self._add(
                name,
                "Reshape",
                [x],
                x["shape"] if same else (n, rest, 1, 1),
                f"reshape_param {{ shape {{ {dims} }} }}",
            )

    def _joint(self, name: str, x: dict[str, Any]) -> None:
        alike = [blob for blob in self.open if blob["shape"] == x["shape"]]
        pair = [x, self.rng.choice(alike)]
        if self.rng.random() < 0.3 and x["shape"][1] > 1:
            c, rest = x["shape"][1], x["shape"][2:]
            self._add(
                name,
                "Slice",
                [x],
                [(x["shape"][0], 1, *rest), (x["shape"][0], c - 1, *rest)],
                "slice_param { slice_point: 1 }",
                tops=2,
            )
        elif self.rng.random() < 0.4:
            self._add(name, "Concat", pair, (x["shape"][0], 2 * x["shape"][1], *x["shape"][2:]))
        else:
            operation = self.rng.choice(
                ["operation: SUM", "operation: SUM coeff: 1 coeff: -2", "operation: PROD", "operation: MAX"]
            )
            self._add(name, "Eltwise", pair, x["shape"], f"eltwise_param {{ {operation} }}")

    def _spatial(self, name: str, x: dict[str, Any]) -> None:
        n, c, h, w = x["shape"]
        kind = self.rng.randrange(4)
        if kind < 2:
            out = self.rng.choice([1, 2, 5])
            filler = 'weight_filler { type: "xavier" }'
            self._add(
                name,
                "Convolution",
                [x],
                (n, out, h, w),
                f"convolution_param {{ num_output: {out} kernel_size: 3 pad: 1 {filler} }}",
            )
        elif kind == 2 and min(h, w) >= 2:
            pool = self.rng.choice(["MAX", "AVE"])
            self._add(
                name,
                "Pooling",
                [x],
                (n, c, -(-h // 2), -(-w // 2)),
                f"pooling_param {{ pool: {pool} kernel_size: 2 stride: 2 }}",
            )
        else:
            self._add(name, "LRN", [x], x["shape"], "lrn_param { local_size: 3 }")

    def _product(self, name: str, x: dict[str, Any]) -> None:
        out = self.rng.choice([1, 4])
        filler = 'weight_filler { type: "xavier" }'
        self._add(
            name,
            "InnerProduct",
            [x],
            (x["shape"][0], out),
            f"inner_product_param {{ num_output: {out} {filler} }}",
        )

    def _losses(self) -> None:
        """Losses on two blobs, so that some stay outputs."""
        for i, x in enumerate(self.rng.sample(self.open, min(2, len(self.open)))):
            dims = " ".join(f"dim: {d}" for d in x["shape"])
            self._add(
                f"target{i}",
                "DummyData",
                [],
                x["shape"],
                f'dummy_data_param {{ shape {{ {dims} }} data_filler {{ type: "gaussian" }} }}',
            )
            self._add(f"loss{i}", "EuclideanLoss", [x, self.open[-1]], ())
            self.open.pop()


@pytest.fixture
def random_net() -> Callable[[int], RandomNet]:
    return RandomNet
