"""A change to the backward pass, or to a copy of the model, and what it does to the gradient."""
