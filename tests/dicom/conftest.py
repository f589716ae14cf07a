"""A gateway that answers as the test says, and the node in front of it as a process."""

from support.dicom_gateway import gateway
from support.dicom_node import node

__all__ = ["gateway", "node"]
