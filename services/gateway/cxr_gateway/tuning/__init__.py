"""Thresholds of triage, fitted to a site's own images so that a stated share is urgent and soon."""
