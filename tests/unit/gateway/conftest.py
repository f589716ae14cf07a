"""Fixtures of the gateway's unit tests."""

from databases import database_url

__all__ = ["database_url"]
