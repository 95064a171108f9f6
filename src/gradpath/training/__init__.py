"""Data, the loop, one net or several side by side: yields records, and tells listeners the news."""

from gradpath.training._compare import compare as compare
from gradpath.training._data import Images as Images
from gradpath.training._data import describe as describe
from gradpath.training._data import load_images as load_images
from gradpath.training._data import split_record as split_record
from gradpath.training._data import stratified as stratified
from gradpath.training._evaluate import Evaluation as Evaluation
from gradpath.training._evaluate import evaluate as evaluate
from gradpath.training._events import EpochDone as EpochDone
from gradpath.training._events import Event as Event
from gradpath.training._events import Listener as Listener
from gradpath.training._events import NetDone as NetDone
from gradpath.training._events import NetPlanned as NetPlanned
from gradpath.training._events import NetStarted as NetStarted
from gradpath.training._events import Planned as Planned
from gradpath.training._events import Progress as Progress
from gradpath.training._events import ignore as ignore
from gradpath.training._train import TRAIN_RECIPE as TRAIN_RECIPE
from gradpath.training._train import can_keep_weights as can_keep_weights
from gradpath.training._train import train as train
