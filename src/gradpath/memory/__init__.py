"""The budget: blocks that are computed again in the backward pass instead of kept."""

from gradpath.memory._checkpoint import checkpoint as checkpoint
