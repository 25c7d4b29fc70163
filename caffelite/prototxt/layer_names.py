"""Layer types that are known by name alone: BVLC Caffe's, those of its forks with the fork that has them, other names."""

from __future__ import annotations

from caffelite.prototxt.suggest import suggestion

_TYPES = {
    "BVLC Caffe": "AbsVal Accuracy ArgMax BNLL BatchNorm BatchReindex Bias Clip Concat ContrastiveLoss Convolution Crop Data "
    "Deconvolution Dropout DummyData ELU Eltwise Embed EuclideanLoss Exp Filter Flatten HDF5Data HDF5Output "
    "HingeLoss Im2col ImageData InfogainLoss InnerProduct Input LRN LSTM LSTMUnit Log MVN MemoryData "
    "MultinomialLogisticLoss PReLU Parameter Pooling Power Python RNN ReLU Reduction Reshape SPP Scale Sigmoid "
    "SigmoidCrossEntropyLoss Silence Slice Softmax SoftmaxWithLoss Split Swish TanH Threshold Tile WindowData",
    "Fast R-CNN": "ROIPooling SmoothL1Loss",
    "SSD": "AnnotatedData DetectionEvaluate DetectionOutput MultiBoxLoss Normalize Permute PriorBox VideoData",
    "R-FCN": "BoxAnnotatorOHEM PSROIPooling",
    "Microsoft's fork": "SmoothL1LossOHEM SoftmaxWithLossOHEM",
    "NVIDIA's fork": "DetectNetTransformation L1Loss TRT",
    "Intel's fork": "BoxData EvalDetection MKLBatchNorm MnActivation SpatialDropout",
    "SENet": "Axpy",
    "SegNet": "DenseImageData",
    "SegNet and PSPNet": "BN",
    "SegNet and MobileNet-YOLO": "Upsample",
    "PSPNet and DeepLab": "Interp",
    "DeepLab": "SegAccuracy ImageSegData DenseCRF DomainTransform MatRead MatWrite UniqueLabel BiasChannel "
    "AdaptiveBiasChannel",
    "ParseNet": "ParseEvaluate ParseOutput UnPooling Unpooling",
    "MobileNet-YOLO": "Reorg RegionLoss Yolov3 Yolov3DetectionOutput YoloDetectionOutput YoloSeg "
    "SegmentationEvaluate",
    "MobileNet-SSD": "ReLU6",
    "MobileNet": "DepthwiseConvolution ConvolutionDepthwise",
    "ShuffleNet": "ShuffleChannel",
    "FlowNet2": "Accum BlackAugmentation ChannelNorm CoeffSchedule Correlation CustomData DataAugmentation Downsample "
    "FLOReader FLOWriter FlowAugmentation FlowWarp GenerateAugmentationParameters ImgReader ImgWriter LpqLoss "
    "Mean NegReLU Resample",
    "OpenPose": "CPMData",
    "yjxiong's fork": "SegData BatchReduction",
    "happynear's fork": "BatchContrastiveLoss CenterLoss ChannelScale ConfidencePenaltyLoss EltwiseAffine FCNData "
    "FeatureDecayLoss Flip FocalLoss GeneralContrastiveLoss GeneralTripletLoss Hotspot InfimumLoss InnerDistance Insanity "
    "LabelSpecificAdd LabelSpecificAffine LabelSpecificHardMargin LabelSpecificMargin LabelSpecificRescale "
    "LargeMarginInnerProduct Local MarginInnerProduct Noise OrdinalRegressionLoss Pairwise PredictBox Proposal "
    "Resize SoftContrastiveLoss SoftTruncation SubRegion TripletLoss Truncation",
    "Ristretto": "ConvolutionRistretto FcRistretto DeconvolutionRistretto LRNRistretto",
}
_HOMES = {type_: home for home, types in _TYPES.items() for type_ in types.split()}

OTHER_NAMES = {  # what other frameworks and Caffe's own V1 files call a layer
    "SoftmaxLoss": "SoftmaxWithLoss",
    "CrossEntropyLoss": "SoftmaxWithLoss",
    "SigmoidLoss": "SigmoidCrossEntropyLoss",
    "BCELoss": "SigmoidCrossEntropyLoss",
    "MSELoss": "EuclideanLoss",
    "L2Loss": "EuclideanLoss",
    "Conv": "Convolution",
    "Conv2D": "Convolution",
    "Deconv": "Deconvolution",
    "ConvTranspose": "Deconvolution",
    "FullyConnected": "InnerProduct",
    "FC": "InnerProduct",
    "IP": "InnerProduct",
    "Dense": "InnerProduct",
    "Linear": "InnerProduct",
    "BatchNormalization": "BatchNorm",
    "Pool": "Pooling",
    "MaxPool": "Pooling",
    "MaxPooling": "Pooling",
    "AvgPool": "Pooling",
    "AvePool": "Pooling",
    "AveragePooling": "Pooling",
    "LeakyReLU": "ReLU",
    "ElementWise": "Eltwise",
    "Add": "Eltwise",
    "Sum": "Eltwise",
    "Transpose": "Permute",
    "LMDB": "Data",
}


def home_of(type_: str) -> str:
    """Where a layer type comes from: ``BVLC Caffe`` or a fork's name; empty for an unknown one."""
    return _HOMES.get(type_, "")


def type_suggestion(type_: str) -> str:
    """``"; did you mean type 'Convolution'?"`` for a type that neither Caffe nor a fork has; else nothing."""
    return suggestion(type_, _HOMES, OTHER_NAMES).replace("mean ", "mean type ")
