"""Any model: autograd's graph → records of where the gradient went. Knows nothing of our own networks."""

from gradpath.flow._probe import StemOverHead as StemOverHead
from gradpath.flow._trace import trace as trace
