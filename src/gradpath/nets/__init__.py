"""The networks: one specification → plain, residual or dense, any depth, of plain torch blocks (the reference)."""

from gradpath.nets._blocks import DenseBottleneckLayer as DenseBottleneckLayer
from gradpath.nets._blocks import DenseLayer as DenseLayer
from gradpath.nets._blocks import PadShortcut as PadShortcut
from gradpath.nets._blocks import PostBasic as PostBasic
from gradpath.nets._blocks import PostBottleneck as PostBottleneck
from gradpath.nets._blocks import PreBasic as PreBasic
from gradpath.nets._blocks import PreBottleneck as PreBottleneck
from gradpath.nets._blocks import Projection as Projection
from gradpath.nets._blocks import Transition as Transition
from gradpath.nets._counts import macs as macs
from gradpath.nets._counts import parameters as parameters
from gradpath.nets._init import initialise as initialise
from gradpath.nets._names import NAME_FORMS as NAME_FORMS
from gradpath.nets._names import resolve as resolve
from gradpath.nets._names import spec_name as spec_name
from gradpath.nets._network import Network as Network
from gradpath.nets._network import build as build
from gradpath.nets._protocol import Block as Block
from gradpath.nets._protocol import Moves as Moves
from gradpath.nets._protocol import Tape as Tape
from gradpath.nets._weights import build_from as build_from
from gradpath.nets._weights import data_of as data_of
from gradpath.nets._weights import load_weights as load_weights
from gradpath.nets._weights import read_weights as read_weights
from gradpath.nets._weights import save_weights as save_weights
from gradpath.record import NetSpec as NetSpec
