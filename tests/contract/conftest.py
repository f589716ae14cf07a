"""Fixtures of the contract tests."""

from support.databases import database_url

__all__ = ["database_url"]
