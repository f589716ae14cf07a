"""How well the gateway's triage table orders radiographs: measured on validation patients."""
