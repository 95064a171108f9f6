"""A model watched while it trains."""

from gradpath.flow._watch._adapters import HFWatch as HFWatch
from gradpath.flow._watch._adapters import LightningWatch as LightningWatch
from gradpath.flow._watch._watch import Watch as Watch
from gradpath.flow._watch._watch import watch as watch
