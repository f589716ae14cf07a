"""Generative models of radiographs: train, sample, evaluate. Research, in no service."""
