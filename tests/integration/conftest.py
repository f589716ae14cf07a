"""The services' fixtures for whoever starts them."""

from live_gateway import readers, start

__all__ = ["readers", "start"]
