"""What intake owes to any bytes whatever: a sound picture, or a refusal that a person can read.

`CXR_FUZZ_EXAMPLES` is the budget of each test; with another than the usual one (`make fuzz`) the
bytes are others each time.
"""

import os

import numpy as np
from hypothesis import HealthCheck, settings

from cxr_gateway.imaging import DecodedImage, Limits, read_upload
from cxr_serving.errors import PayloadTooLarge, ServiceError, Unprocessable, UnsupportedMedia

SMALL = Limits(max_bytes=2_000_000, max_pixels=500_000)
_USUAL_EXAMPLES = 60
_EXAMPLES = int(os.environ.get("CXR_FUZZ_EXAMPLES", _USUAL_EXAMPLES))
bounded = settings(
    max_examples=_EXAMPLES,
    deadline=None,
    derandomize=_EXAMPLES == _USUAL_EXAMPLES,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def refusal_or_picture(data: bytes) -> ServiceError | DecodedImage:
    """Read `data`; any other exception than a refusal passes through and fails the test."""
    try:
        return read_upload(data, limits=SMALL)
    except ServiceError as refusal:
        return refusal


def survives(data: bytes) -> None:
    """Check that `data` gives a sound picture or a refusal that can be shown to a person."""
    result = refusal_or_picture(data)
    if isinstance(result, ServiceError):
        assert isinstance(result, UnsupportedMedia | Unprocessable | PayloadTooLarge)
        assert result.detail.isprintable()
        assert len(result.detail) < 500
    else:
        assert result.grey.dtype == np.uint8
        assert result.grey.ndim == 2
        assert result.grey.size <= SMALL.max_pixels
        assert (result.facts.height, result.facts.width) == result.grey.shape
