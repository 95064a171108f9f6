"""The fast blocks: fused passes and whole blocks, each checked against its plain torch reference in nets."""

from gradpath.kernels._choose import Chosen as Chosen
from gradpath.kernels._choose import norm_passes as norm_passes
from gradpath.kernels._fuse import fuse as fuse
from gradpath.kernels._fuse import fused_modules as fused_modules
from gradpath.kernels._norm_passes import FusedPasses as FusedPasses
