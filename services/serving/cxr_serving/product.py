"""What product this is; the services are run from their folders, not installed as a package."""

# Held to pyproject.toml by a test.
VERSION = "0.2.0"
# As results in DICOM name who made them; whatever carries it is never analysed again.
MANUFACTURER = "Open chest X-ray reader"
