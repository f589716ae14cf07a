"""Fits how the gateway moves a box's score by the classifier's probability of the same finding."""
