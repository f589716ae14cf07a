"""Training of a generator: a run directory from a recipe and radiographs."""
