"""Training by a plan: the flat loop over segments, and the module that runs it."""
