"""Writing a generator's model folder."""
