"""Generative models of radiographs: train, sample, judge. Research, in no service."""
