"""What was seen: frozen, versioned records and their JSON. Producers write them, displays read them. No torch here."""

from gradpath.record._base import SCHEMA_VERSION as SCHEMA_VERSION
from gradpath.record._base import Record as Record
from gradpath.record._base import read as read
from gradpath.record._base import write_whole as write_whole
from gradpath.record._circuit import CircuitRecord as CircuitRecord
from gradpath.record._circuit import Node as Node
from gradpath.record._circuit import Step as Step
from gradpath.record._circuit import Wire as Wire
from gradpath.record._flow import Edge as Edge
from gradpath.record._flow import Flow as Flow
from gradpath.record._flow import Fork as Fork
from gradpath.record._flow import Gain as Gain
from gradpath.record._flow import Layer as Layer
from gradpath.record._flow import Unseen as Unseen
from gradpath.record._net import NetSpec as NetSpec
from gradpath.record._run import Comparison as Comparison
from gradpath.record._run import DataInfo as DataInfo
from gradpath.record._run import Epoch as Epoch
from gradpath.record._run import Execution as Execution
from gradpath.record._run import GradientHistory as GradientHistory
from gradpath.record._run import Machine as Machine
from gradpath.record._run import Recipe as Recipe
from gradpath.record._run import RunRecord as RunRecord
from gradpath.record._run import Trial as Trial
