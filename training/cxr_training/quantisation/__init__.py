"""A second file for a published model: the same network with 8-bit integers."""
