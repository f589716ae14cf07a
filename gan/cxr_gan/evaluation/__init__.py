"""How near to real a generator's images are, and whether they are copies."""
