"""Readers of the published data sets, and the patient split over all of them."""
