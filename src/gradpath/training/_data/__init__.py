"""Data: what `--data` names becomes images in memory, checked once and for all."""

from gradpath.training._data._holdout import VALIDATION as VALIDATION
from gradpath.training._data._holdout import hold_out as hold_out
from gradpath.training._data._holdout import with_channels as with_channels
from gradpath.training._data._images import Images as Images
from gradpath.training._data._load import FASHION_MINI as FASHION_MINI
from gradpath.training._data._load import describe as describe
from gradpath.training._data._load import load_images as load_images
from gradpath.training._data._split import split_record as split_record
from gradpath.training._data._split import stratified as stratified
from gradpath.training._data._streamed import Streamed as Streamed
