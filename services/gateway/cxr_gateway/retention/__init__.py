"""What is not kept: studies beyond their time or deleted on request, old lines of the audit log."""

from cxr_gateway.retention.daily import cleaned_daily
from cxr_gateway.retention.removal import DELETE_ACTION, EXPIRY_ACTION, remove_study

__all__ = ["DELETE_ACTION", "EXPIRY_ACTION", "cleaned_daily", "remove_study"]
