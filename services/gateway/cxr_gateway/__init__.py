"""The only door: REST API, intake, gate, fan-out, merge, triage, archive, page."""
