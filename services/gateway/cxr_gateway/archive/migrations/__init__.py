"""The database's schema, revision by revision; `archive/schema.py` runs them.

A revision that has been released is never changed: archives out there stand on it.
"""
