"""Fixtures of the gateway's unit tests."""

from support.databases import database_url

__all__ = ["database_url"]
