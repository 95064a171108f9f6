"""Names that torch gave, not the user: a redacted record keeps them. (A display imports no torch: a test compares.)"""

from __future__ import annotations

MODULES = frozenset(
    """
AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveLogSoftmaxWithLoss AdaptiveMaxPool1d
AdaptiveMaxPool2d AdaptiveMaxPool3d AlphaDropout AvgPool1d AvgPool2d AvgPool3d BCELoss BCEWithLogitsLoss
BatchNorm1d BatchNorm2d BatchNorm3d Bilinear CELU CTCLoss ChannelShuffle CircularPad1d CircularPad2d CircularPad3d
ConstantPad1d ConstantPad2d ConstantPad3d Container Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d
ConvTranspose3d CosineEmbeddingLoss CosineSimilarity CrossEntropyLoss CrossMapLRN2d DataParallel Dropout Dropout1d
Dropout2d Dropout3d ELU Embedding EmbeddingBag FeatureAlphaDropout Flatten Fold FractionalMaxPool2d
FractionalMaxPool3d GELU GLU GRU GRUCell GaussianNLLLoss GroupNorm Hardshrink Hardsigmoid Hardswish Hardtanh
HingeEmbeddingLoss HuberLoss Identity InstanceNorm1d InstanceNorm2d InstanceNorm3d KLDivLoss L1Loss LPPool1d
LPPool2d LPPool3d LSTM LSTMCell LayerNorm LazyBatchNorm1d LazyBatchNorm2d LazyBatchNorm3d LazyConv1d LazyConv2d
LazyConv3d LazyConvTranspose1d LazyConvTranspose2d LazyConvTranspose3d LazyInstanceNorm1d LazyInstanceNorm2d
LazyInstanceNorm3d LazyLinear LeakyReLU Linear LinearCrossEntropyLoss LocalResponseNorm LogSigmoid LogSoftmax
MSELoss MarginRankingLoss MaxPool1d MaxPool2d MaxPool3d MaxUnpool1d MaxUnpool2d MaxUnpool3d Mish Module ModuleDict
ModuleList MultiLabelMarginLoss MultiLabelSoftMarginLoss MultiMarginLoss MultiheadAttention NLLLoss NLLLoss2d
PReLU PairwiseDistance ParameterDict ParameterList PixelShuffle PixelUnshuffle PoissonNLLLoss RMSNorm RNN RNNBase
RNNCell RNNCellBase RReLU ReLU ReLU6 ReflectionPad1d ReflectionPad2d ReflectionPad3d ReplicationPad1d
ReplicationPad2d ReplicationPad3d SELU Sequential SiLU Sigmoid SmoothL1Loss SoftMarginLoss Softmax Softmax2d
Softmin Softplus Softshrink Softsign SyncBatchNorm Tanh Tanhshrink Threshold Transformer TransformerDecoder
TransformerDecoderLayer TransformerEncoder TransformerEncoderLayer TripletMarginLoss TripletMarginWithDistanceLoss
Unflatten Unfold Upsample UpsamplingBilinear2d UpsamplingNearest2d ZeroPad1d ZeroPad2d ZeroPad3d
""".split()
)
"""Classes of torch.nn."""

OPERATIONS = frozenset(
    """
Abs AdaptiveAvgPool2D AdaptiveMaxPool2D Add Addbmm Addcmul Addmm Addmv Alias Amax AsStrided AvgPool2D Baddbmm
BinaryCrossEntropy BinaryCrossEntropyWithLogits Bmm Cat Celu Clamp ClampMin Clone ConstantPadNd Convolution
CopySlices Cos CudnnBatchNorm CudnnConvolution CudnnRnn Cumsum Detach Div Einsum Elu Embedding Erf Exp Expand
FftC2R FftR2C Flip FusedRmsNorm Gather Gelu Glu GridSampler2D Hardsigmoid Hardswish Hardtanh HuberLoss Im2Col
Index IndexPut IndexSelect Input KlDiv L1Loss LeakyRelu Lerp LinalgVectorNorm Linear Log LogSigmoid LogSoftmax
LogSumExp Logsumexp MaskedFill Max MaxPool2DWithIndices Maximum Mean Min Minimum Mish MkldnnConvolution
MkldnnRnnLayer Mm MseLoss Mul MulticlassMarginLoss Mv NanToNum NativeBatchNorm NativeDropout NativeGroupNorm
NativeLayerNorm Neg NllLoss NllLoss2D Norm Permute PixelShuffle PixelUnshuffle Pow Prelu PreluKernel
ReflectionPad2D Relu Repeat ReplicationPad2D Rnn Roll Rsqrt Rsub ScaledDotProductAttention
ScaledDotProductEfficientAttention ScaledDotProductFlashAttention ScaledDotProductFlashAttentionForCpu
ScaledDotProductFusedAttentionOverrideable ScatterAdd Select Sigmoid Silu Sin Slice SmoothL1Loss Softmax Softplus
Softsign Split SplitWithSizes Sqrt Square Squeeze Stack Sub Sum T Tanh Threshold ToCopy Transpose Tril Unbind
Unfold UnsafeSplit UnsafeSplitWithSizes UnsafeView Unsqueeze UpsampleBicubic2D UpsampleBilinear2D
UpsampleNearest2D Var View WeightNormInterface Where
""".split()
)
"""Operations as autograd's nodes are called, without 'Backward0'; the usual ones."""

PARAMETERS = frozenset(
    """
weight bias running_mean running_var in_proj_weight in_proj_bias weight_ih weight_hh bias_ih bias_hh
""".split()
)
"""Last parts of a parameter's name."""
