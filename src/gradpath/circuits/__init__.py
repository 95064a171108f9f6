"""The chain rule, small: circuits of scalar gates, walked forward and backward one gate at a time. No torch here."""

from gradpath.circuits.gallery import circuit as circuit
from gradpath.circuits.gallery import describe as describe
from gradpath.circuits.gallery import names as names
from gradpath.circuits.gallery import option_names as option_names
