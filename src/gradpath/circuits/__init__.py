"""The chain rule, small: circuits of scalar gates, walked forward and backward one gate at a time. No torch here."""

from gradpath.circuits._engine import Circuit as Circuit
from gradpath.circuits._engine import Part as Part
from gradpath.circuits._engine import Walk as Walk
from gradpath.circuits._gallery import circuit as circuit
from gradpath.circuits._gallery import circuit_parts as circuit_parts
from gradpath.circuits._gallery import describe as describe
from gradpath.circuits._gallery import names as names
from gradpath.circuits._gallery import option_names as option_names
from gradpath.circuits._gates import GATES as GATES
from gradpath.circuits._gates import Gate as Gate
