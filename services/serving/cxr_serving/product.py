"""What product this is; the services are run from their folders, not installed as a package."""

# Held to pyproject.toml by a test.
VERSION = "0.1.0"
