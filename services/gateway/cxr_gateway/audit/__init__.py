"""The audit log: who asked what, of which study, when, from where, and how it ended.

    events      what is put on record: of a request, of a command, of the gateway itself
    log         the running gateway's writer: the entries of many requests in one commit

The entries and their hash chain are in `archive/audit_*.py`, the entry of each request is written
by `middleware/audit.py`. ADR 0026 says why it is made so.
"""

from cxr_gateway.archive.audit_entries import Event
from cxr_gateway.audit.events import by_request, by_the_machine
from cxr_gateway.audit.log import AuditLog, open_audit_log

__all__ = [
    "AuditLog",
    "Event",
    "by_request",
    "by_the_machine",
    "open_audit_log",
]
