"""A gateway as a real process, for clients of its API."""

import pytest

from support.dicom_images import dicom
from support.images import radiograph_like
from support.live_gateway import Gateway, Starter, services, start

__all__ = ["services", "start"]


@pytest.fixture
def gateway(start: Starter) -> Gateway:
    """One that is ready."""
    return start(CXR_GATEWAY_WEBHOOK_ALLOW='["127.0.0.1"]')


@pytest.fixture(scope="session")
def radiograph() -> bytes:
    """A DICOM file that says which study it is of."""
    return dicom(
        radiograph_like(seed=7).astype("uint16"),
        SOPInstanceUID="1.2.3.7",
        SeriesInstanceUID="1.2.3",
        StudyInstanceUID="1.2",
        PatientID="4711",
    )
