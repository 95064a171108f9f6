"""The budget: which block keeps which tape, so that a training step fits the memory; and blocks computed again."""

from gradpath.memory._checkpoint import checkpoint as checkpoint
from gradpath.memory._plan import plan as plan
from gradpath.memory._planning._calculator import depth_for_memory as depth_for_memory
from gradpath.memory._planning._calculator import memory_for_depth as memory_for_depth
from gradpath.memory._planning._calculator import time_ratio as time_ratio
from gradpath.memory._running._planned import apply_plan as apply_plan
from gradpath.memory._search import deepest as deepest
from gradpath.memory._search import largest_batch as largest_batch
