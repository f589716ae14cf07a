"""Synthetic radiographs as files: marked as such, with a manifest that training reads."""
