"""What a user would write or pick instead, with the same models."""
