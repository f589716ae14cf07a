"""The reference of drift: how validation patients' films are distributed, seen by the services."""
