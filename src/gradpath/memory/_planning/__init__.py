"""The dynamic program: from the costs of blocks to the tape that each keeps. Arithmetic alone, no model."""
