"""`python -m cxr_dicom`: the same as `cxr-dicom`."""

import sys

from cxr_dicom.cli import main

if __name__ == "__main__":
    sys.exit(main())
