"""Figures with intervals, shared by the trainings of all models."""
