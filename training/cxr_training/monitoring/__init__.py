"""What operation is measured against: the triage table's order, and the reference of drift."""
