"""Drift: the statistics of images, week by week, against those of the validation patients."""
