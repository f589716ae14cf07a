"""What is not kept: studies beyond their time or deleted on request, old audit entries."""
