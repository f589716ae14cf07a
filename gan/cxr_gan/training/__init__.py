"""Training: from radiographs and a recipe to a run directory with a generator."""
