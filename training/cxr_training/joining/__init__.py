"""Fits how the gateway joins a box's score with the classifier's opinion of the same finding."""
