"""Inference service: image to the probability of fourteen findings, and where each comes from."""
