"""Drift: what each film measures, week by week, against the validation patients' films."""
