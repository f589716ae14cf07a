"""Fixtures of the contract tests."""

from databases import database_url

__all__ = ["database_url"]
