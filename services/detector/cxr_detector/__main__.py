"""`python -m cxr_detector`: the detector as a process."""

import sys

from cxr_detector.app import create_app
from cxr_detector.settings import DetectorSettings
from cxr_serving.process import serve, settings_or_exit


def main() -> int:
    """Serve until a signal comes; 1 if the model could not be loaded."""
    app = create_app(settings_or_exit(DetectorSettings))
    return serve(app, app.state.service)


if __name__ == "__main__":
    sys.exit(main())
