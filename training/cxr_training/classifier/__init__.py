"""Training, evaluation and publication of the classifier of NIH's fourteen findings."""
