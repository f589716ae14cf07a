"""`cxr-screen`: a whole archive of radiographs through the services' models."""

import sys

from cxr_screening.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
