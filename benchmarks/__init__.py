"""Speed and memory of the running system, side by side with what a user would pick instead."""
