"""Fixtures of the gateway's unit tests."""

from support.databases import migrated_database_url

__all__ = ["migrated_database_url"]
