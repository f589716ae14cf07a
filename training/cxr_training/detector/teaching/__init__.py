"""Boxes that published detectors propose on radiographs that nobody annotated, to learn from."""
