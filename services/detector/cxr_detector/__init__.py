"""Inference service: image to boxes around suspicious regions."""
