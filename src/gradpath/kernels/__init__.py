"""The fast blocks: fused passes and whole blocks, each checked against its plain torch reference in nets."""

from gradpath.kernels._autocast import Autocast as Autocast
from gradpath.kernels._choose import Chosen as Chosen
from gradpath.kernels._choose import norm_passes as norm_passes
from gradpath.kernels._dense_form import is_our_layer as is_our_layer
from gradpath.kernels._dense_form import library_layers as library_layers
from gradpath.kernels._dense_moves import DenseMoves as DenseMoves
from gradpath.kernels._dense_moves import dense_moves as dense_moves
from gradpath.kernels._fingerprint import Fingerprint as Fingerprint
from gradpath.kernels._fuse import backend_of as backend_of
from gradpath.kernels._fuse import fuse as fuse
from gradpath.kernels._fuse import fused_modules as fused_modules
from gradpath.kernels._norm_passes import FusedPasses as FusedPasses
from gradpath.kernels._step_graph import StepGraph as StepGraph
