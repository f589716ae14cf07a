"""`python -m cxr_training`, which is `cxr`."""

from cxr_training.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
