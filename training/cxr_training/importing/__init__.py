"""Bring your own weights: somebody else's checkpoint becomes a model folder that is served."""
