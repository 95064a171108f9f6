"""Any model: autograd's graph → records of where the gradient went. Knows nothing of our own networks."""

from gradpath.flow._findings._healthy import assert_healthy as assert_healthy
from gradpath.flow._findings._shattering import shattering as shattering
from gradpath.flow._not_finite import first_not_finite as first_not_finite
from gradpath.flow._paths._path_lengths import paths as paths
from gradpath.flow._probe import StemOverHead as StemOverHead
from gradpath.flow._trace import trace as trace
from gradpath.flow._watch import HFWatch as HFWatch
from gradpath.flow._watch import LightningWatch as LightningWatch
from gradpath.flow._watch import Watch as Watch
from gradpath.flow._watch import watch as watch
from gradpath.flow._whatif._changes import CHANGES as CHANGES
from gradpath.flow._whatif._changes import Change as Change
from gradpath.flow._whatif._entry import whatif as whatif
