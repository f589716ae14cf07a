"""What decoding owes to any bytes whatever: a sound image, or a refusal that a person can read.

`CXR_FUZZ_EXAMPLES` is the budget of each test; with another than the usual one (`make fuzz`) the
bytes are others each time.
"""

import os
from io import BytesIO

import numpy as np
from hypothesis import HealthCheck, settings

from cxr_gateway.imaging import DecodedImage, Limits
from cxr_gateway.imaging.decoders import Decoder, InProcessDecoder
from cxr_gateway.imaging.quality import measure_quality
from cxr_serving.errors import PayloadTooLarge, ServiceError, Unprocessable, UnsupportedMedia

_HERE = InProcessDecoder()
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


def refusal_or_image(data: bytes, decoder: Decoder = _HERE) -> ServiceError | DecodedImage:
    """Read `data`; any other exception than a refusal passes through and fails the test."""
    try:
        return decoder.decode(BytesIO(data), SMALL)
    except ServiceError as refusal:
        return refusal


def survives(data: bytes, decoder: Decoder = _HERE) -> str:
    """Check that `data` gives a sound image or a refusal that can be shown to a person.

    Returns:
        `read`, or the kind of refusal.
    """
    result = refusal_or_image(data, decoder)
    if isinstance(result, ServiceError):
        assert isinstance(result, UnsupportedMedia | Unprocessable | PayloadTooLarge)
        assert result.detail.isprintable()
        assert len(result.detail) < 500
        return type(result).__name__
    assert result.grey.dtype == np.uint8
    assert result.grey.ndim == 2
    assert result.grey.size <= SMALL.max_pixels
    assert (result.metadata.height, result.metadata.width) == result.grey.shape
    measure_quality(result.grey)
    return "read"
