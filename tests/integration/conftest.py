"""The services' fixtures for whoever starts them."""

from support.live_gateway import services, start

__all__ = ["services", "start"]
