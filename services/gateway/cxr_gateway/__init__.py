"""The only door: REST API, decoded, gate, fan-out, merge, triage, archive, page."""
