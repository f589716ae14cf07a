"""The way between two seeds."""
