"""The audit log: who asked what, of which study, when, from where, and how it ended.

    lines       an event, its line in the chain, and the hash that ties each line to the one before
    chain       lines appended and verified, within a transaction of the database
    log         the running gateway's writer: many requests' lines in one commit
    middleware  a line for every request to the API, committed before its answer
    pruning     old lines removed, with an anchor left for the rest

ADR 0026 says why it is made so.
"""

from cxr_gateway.audit.entries import Event, by_request, by_the_machine
from cxr_gateway.audit.log import AuditLog, open_audit_log

__all__ = [
    "AuditLog",
    "Event",
    "by_request",
    "by_the_machine",
    "open_audit_log",
]
