"""DepthwiseConvolution."""

from __future__ import annotations

from caffelite.layers.convolution import Convolution


class DepthwiseConvolution(Convolution):
    """Convolution, of a fork that has a faster kernel for ``group`` = C = num_output.

    Bottoms, tops, params: as Convolution; W (C, 1, *K).
    Source:  depthwise_conv_layer.cpp (yonghenglh6, and MobileNet-YOLO). Howard et al., "MobileNets", 2017.
    Example: x (1, 4, 5, 5); convolution_param { num_output: 4 group: 4 kernel_size: 3 }
    """
