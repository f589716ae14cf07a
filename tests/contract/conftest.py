"""Fixtures of the contract tests."""

from support.databases import migrated_database_url, security_database_url

__all__ = ["migrated_database_url", "security_database_url"]
