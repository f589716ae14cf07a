"""`python -m cxr_gan`."""

from cxr_gan.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
