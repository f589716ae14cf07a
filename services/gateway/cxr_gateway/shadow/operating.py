"""The operator's commands at work; inference services and their HTTP are loaded for these only."""

import argparse
import asyncio
from typing import get_args

from cxr_gateway.archive import Session, query_once
from cxr_gateway.archive.promotions import (
    ROLES,
    Promotion,
    Slot,
    latest_promotions,
    promotion_history,
)
from cxr_gateway.core.principal import operator_name
from cxr_gateway.core.schemas import ServiceStatus
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.shadow import promoting
from cxr_gateway.shadow.evidence import Evidence
from cxr_gateway.shadow.promoting import RoleStatuses, ask_services, described
from cxr_gateway.shadow.report import shadow_report
from cxr_gateway.shadow.schemas import RoleName
from cxr_gateway.shadow.text import report_text

_NOTHING = "No answer of a shadow {role} is recorded."


def models(settings: GatewaySettings, _options: argparse.Namespace) -> str:
    """Who answers, who shadows, and the history."""
    promoted, history = query_once(
        settings, lambda session: (latest_promotions(session), promotion_history(session))
    )
    lines = []
    for role in ROLES:
        found = asyncio.run(ask_services(settings, role))
        slot = found.active(promoted.get(role))
        lines.append(f"{role}: {_shown(found, slot)} answers")
        if found.second is not None:
            lines.append(f"{role}: {_shown(found, slot.other)} is the shadow")
    lines += [_entry(promotion) for promotion in history]
    return "\n".join(lines if history else [*lines, "Nothing has been promoted."])


def promote(settings: GatewaySettings, options: argparse.Namespace) -> str:
    """Promote the shadow of a role; a sentence of what follows."""
    evidence = Evidence(options.min_answers, options.max_failures)
    found = asyncio.run(ask_services(settings, options.role))
    model, before = promoting.promote(
        settings,
        options.role,
        found,
        made_by=operator_name(options.by),
        evidence=None if options.anyway else evidence,
    )
    return (
        f"{described(model)} answers from now on, within {settings.promotion_poll_s:g} s at every "
        f"gateway, and {described(before)} is the shadow. "
        f"`models rollback {options.role}` takes it back."
    )


def roll_back(settings: GatewaySettings, options: argparse.Namespace) -> str:
    """Take the last promotion of a role back; likewise."""
    found = asyncio.run(ask_services(settings, options.role))
    model, before = promoting.roll_back(
        settings, options.role, found, made_by=operator_name(options.by)
    )
    return (
        f"{described(model)} answers again, within {settings.promotion_poll_s:g} s at every "
        f"gateway, in the place of {described(before)}."
    )


def report(settings: GatewaySettings, options: argparse.Namespace) -> str:
    """The reports of some roles, or of both."""
    names: tuple[RoleName, ...] = get_args(RoleName)
    roles = [role for role in names if role in options.role or not options.role]

    def reports(session: Session) -> list[str]:
        found = ((role, shadow_report(session, role)) for role in roles)
        return [report_text(one) if one else _NOTHING.format(role=role) for role, one in found]

    return "\n\n".join(query_once(settings, reports))


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
        f"{described(promotion.model)} {what}, in the place of {described(promotion.before)}, by "
        f"{promotion.made_by}"
    )
