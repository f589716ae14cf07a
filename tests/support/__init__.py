"""Fakes and fixtures of the tests."""
