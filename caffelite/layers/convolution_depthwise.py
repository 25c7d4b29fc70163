"""ConvolutionDepthwise."""

from __future__ import annotations

from caffelite.layers.convolution import Convolution


class ConvolutionDepthwise(Convolution):
    """Convolution of each channel with a kernel of its own; ``group`` does not count, ``num_output`` need not be given.

    Bottoms: x (*N, C, *S), any number of one shape.
    Tops:    y (*N, C, *T), one for each bottom.
    Params:  W (C, 1, *K), b (C,) unless ``bias_term: false``.
    Raises:  NetError for a num_output other than C; what Convolution raises.
    Source:  conv_dw_layer.cpp of BVLC Caffe's pull request 5665 (which passes over num_output).
    Example: x (1, 4, 5, 5); convolution_param { num_output: 4 kernel_size: 3 pad: 1 }
    """

    def _check_outputs(self) -> None:
        """There is no need for a num_output."""

    def _counts(self, channels: int) -> tuple[int, int]:
        if self.p.HasField("num_output") and self.p.num_output != channels:
            raise self.error(
                f"num_output: {channels}, the channels of x", self.p.num_output, "a Convolution can change them",
                "num_output",
            )  # fmt: skip
        return channels, channels
