"""The operator's commands at work; readers and their HTTP are loaded for these only."""

import argparse
import asyncio
import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from typing import get_args

from sqlalchemy.orm import Session

from cxr_gateway.archive.db_errors import database_failures
from cxr_gateway.archive.schema import refuse_other
from cxr_gateway.archive.tables import open_engine
from cxr_gateway.core.schemas import ServiceStatus
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.shadow import promoting
from cxr_gateway.shadow.evidence import Evidence
from cxr_gateway.shadow.promoting import RoleStatuses, ask_readers, told
from cxr_gateway.shadow.promotions import (
    ROLES,
    Promotion,
    Slot,
    latest_promotions,
    promotion_history,
)
from cxr_gateway.shadow.report import shadow_report
from cxr_gateway.shadow.schemas import RoleName
from cxr_gateway.shadow.text import report_text

_NOTHING = "No answer of a shadow {role} is recorded."


def models(settings: GatewaySettings, _options: argparse.Namespace) -> str:
    """Who answers, who shadows, and the history."""
    with _session(settings) as session:
        promoted, history = latest_promotions(session), promotion_history(session)
    lines = []
    for role in ROLES:
        found = asyncio.run(ask_readers(settings, role))
        slot = found.answering(promoted.get(role))
        lines.append(f"{role}: {_shown(found, slot)} answers")
        if found.second is not None:
            lines.append(f"{role}: {_shown(found, slot.other)} is the shadow")
    lines += [_entry(promotion) for promotion in history]
    return "\n".join(lines if history else [*lines, "Nothing has been promoted."])


def promote(settings: GatewaySettings, options: argparse.Namespace) -> str:
    """Promote the shadow of a role; a sentence of what follows."""
    evidence = Evidence(options.min_answers, options.max_failures)
    found = asyncio.run(ask_readers(settings, options.role))
    model, before = promoting.promote(
        settings,
        options.role,
        found,
        made_by=_by(options),
        evidence=None if options.anyway else evidence,
    )
    return (
        f"{told(model)} answers from now on, within {settings.promotion_poll_s:g} s at every "
        f"gateway, and {told(before)} is the shadow. "
        f"`models rollback {options.role}` takes it back."
    )


def roll_back(settings: GatewaySettings, options: argparse.Namespace) -> str:
    """Take the last promotion of a role back; likewise."""
    found = asyncio.run(ask_readers(settings, options.role))
    model, before = promoting.roll_back(settings, options.role, found, made_by=_by(options))
    return (
        f"{told(model)} answers again, within {settings.promotion_poll_s:g} s at every gateway, "
        f"in the place of {told(before)}."
    )


def report(settings: GatewaySettings, options: argparse.Namespace) -> str:
    """The reports of some roles, or of both."""
    names: tuple[RoleName, ...] = get_args(RoleName)
    roles = [role for role in names if role in options.role or not options.role]
    parts = []
    with _session(settings) as session:
        for role in roles:
            found = shadow_report(session, role)
            parts.append(report_text(found) if found else _NOTHING.format(role=role))
    return "\n\n".join(parts)


@contextmanager
def _session(settings: GatewaySettings) -> Iterator[Session]:
    engine = open_engine(settings.resolved_database_url, settings.database_timeout_s)
    try:
        with database_failures(), engine.connect() as connection:
            refuse_other(connection)
            yield Session(connection)
    finally:
        engine.dispose()


def _by(options: argparse.Namespace) -> str:
    try:
        by: str = options.by or getpass.getuser()
    except (KeyError, OSError):
        # In a container the user may be a number without a name.
        by = "operator"
    return by[:200]


def _shown(found: RoleStatuses, slot: Slot) -> str:
    status: ServiceStatus | None = found.at(slot)
    if status is None or status.model is None:
        detail = status.detail if status else "no address"
        return f"what is at the {slot.value} address (not ready: {detail})"
    return f"{status.model.name} {status.model.version} ({status.model.sha256[:12]})"


def _entry(promotion: Promotion) -> str:
    what = "promoted" if promotion.undoes is None else f"back (undoes {promotion.undoes})"
    return (
        f"{promotion.number}. {promotion.made_at:%Y-%m-%d %H:%M} UTC, {promotion.role}: "
        f"{told(promotion.model)} {what}, in the place of {told(promotion.before)}, by "
        f"{promotion.made_by}"
    )
