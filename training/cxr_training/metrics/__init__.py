"""Figures of merit of weighted images, and their intervals over patients."""
