"""`python -m cxr_gateway` is `cxr-gateway`."""

import sys

from cxr_gateway.cli import main

if __name__ == "__main__":
    sys.exit(main())
