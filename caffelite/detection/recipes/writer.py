"""The text of a detector's net, written layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from caffelite.prototxt.compose import NONE, Enum, Fields, field_lines

XAVIER: Fields = {"type": "xavier"}
MSRA: Fields = {"type": "msra"}


def gaussian(std: float) -> Fields:
    """Returns a filler of normal numbers around 0."""
    return {"type": "gaussian", "std": std}


class NetText:
    """Each method adds a layer and returns the name of its top. ``training``: with fillers, learning rates and losses."""

    def __init__(self, name: str, about: str, training: bool):
        self.training = training
        self._learning = True
        self.lines = [f"# {about}", f'name: "{name}"']

    def __str__(self) -> str:
        return "\n".join(self.lines) + "\n"

    @contextmanager
    def frozen(self, when: bool = True) -> Iterator[None]:
        """What is added in the block does not learn."""
        before, self._learning = self._learning, self._learning and not when
        yield
        self._learning = before

    def comment(self, text: str) -> None:
        self.lines += ["", f"# {text}"]

    def layer(
        self,
        name: str,
        type_: str,
        bottom: str | Sequence[str],
        top: str | Sequence[str] = "",
        fields: Fields = NONE,
    ) -> str:
        """Adds any layer. Its top has its name unless ``top`` says otherwise; of several, the first is returned."""
        tops = [top or name] if isinstance(top, str) else list(top)
        head = {"name": name, "type": type_, "bottom": bottom, "top": tops}
        self.lines += field_lines("layer", {**head, **fields})
        return tops[0] if tops else ""

    def conv(
        self, name: str, bottom: str, fields: Fields, weight: Fields, bias: float | None = 0, top: str = ""
    ) -> str:
        """Adds a convolution; ``weight`` is its filler, ``bias`` the initial bias or None for no bias."""
        message, params = self._learned(fields, weight, bias)
        return self.layer(name, "Convolution", bottom, top, {**params, "convolution_param": message})

    def fc(
        self, name: str, bottom: str, num_output: int, weight: Fields, bias: float = 0, rate: int = 1
    ) -> str:
        """Adds an inner product, which learns ``rate`` times as fast as other layers."""
        message, params = self._learned({"num_output": num_output}, weight, bias, rate)
        return self.layer(name, "InnerProduct", bottom, fields={**params, "inner_product_param": message})

    def scale(self, name: str, blob: str) -> str:
        """Adds a scale and a shift of each channel that do not learn."""
        params = self._params(2, False) if self.training else NONE
        return self.layer(name, "Scale", blob, blob, {**params, "scale_param": {"bias_term": True}})

    def _learned(
        self, fields: Fields, weight: Fields, bias: float | None, rate: int = 1
    ) -> tuple[Fields, Fields]:
        """A layer's message with its fillers and its ``param`` entries: biases learn twice as fast."""
        message = {**fields} if bias is not None else {**fields, "bias_term": False}
        if not self.training:
            return message, NONE
        fillers = {"weight_filler": weight}
        if bias is not None:
            fillers["bias_filler"] = {"type": "constant", "value": bias}
        return {**message, **fillers}, self._params(1 if bias is None else 2, self._learning, rate)

    def _params(self, count: int, learning: bool, rate: int = 1) -> Fields:
        one = [{"lr_mult": rate, "decay_mult": 1}, {"lr_mult": 2 * rate, "decay_mult": 0}]
        return {"param": one[:count] if learning else [{"lr_mult": 0, "decay_mult": 0}] * count}

    def relu(self, name: str, blob: str) -> str:
        return self.layer(name, "ReLU", blob, blob)

    def dropout(self, name: str, blob: str, **fields: object) -> str:
        return self.layer(name, "Dropout", blob, blob, {"dropout_param": {"dropout_ratio": 0.5, **fields}})

    def pool(
        self, name: str, bottom: str, kernel: int, stride: int, pad: int = 0, method: str = "MAX"
    ) -> str:
        fields: Fields = {"pool": Enum(method), "kernel_size": kernel, "stride": stride}
        return self.layer(
            name, "Pooling", bottom, fields={"pooling_param": {**fields, **({"pad": pad} if pad else NONE)}}
        )
