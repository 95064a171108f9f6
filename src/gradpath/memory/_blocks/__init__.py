"""The chain of blocks in a model: found by rule, proved by running the model once."""
