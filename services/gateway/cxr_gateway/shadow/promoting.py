"""Promote a shadow, or take the last promotion back: what an operator decides, and is refused."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cxr_contracts import ModelIdentity
from cxr_gateway.archive.observed_tables import ShadowAnswerRow
from cxr_gateway.archive.schema import exclusively, refuse_other
from cxr_gateway.core.schemas import ServiceStatus
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.inference.clients import ClientOpener, InferenceClient, Readers, open_clients
from cxr_gateway.inference.routing import identity_of
from cxr_gateway.shadow.evidence import Evidence
from cxr_gateway.shadow.promotions import (
    Promotion,
    Slot,
    add_promotion,
    answering_slot,
    last_standing,
    latest_promotions,
)
from cxr_serving.errors import Conflict


class NotPromoted(Conflict):
    """Nothing was changed; the sentence says why."""


@dataclass(frozen=True)
class RoleStatuses:
    """A role's readers as they are now; `second` is None without a second address."""

    first: ServiceStatus
    second: ServiceStatus | None

    def at(self, slot: Slot) -> ServiceStatus | None:
        """The reader at one address."""
        return self.first if slot is Slot.FIRST else self.second

    def answering(self, promoted: Promotion | None) -> Slot:
        """Where the model is that answers."""
        if self.second is None:
            return Slot.FIRST
        return answering_slot(promoted, identity_of(self.first), identity_of(self.second))


async def ask_readers(
    settings: GatewaySettings, role: str, opener: ClientOpener = open_clients
) -> RoleStatuses:
    """Ask each address of a role what it has."""
    async with opener(settings) as readers:
        first, second = _clients(readers, role)
        return RoleStatuses(await first.status(), await second.status() if second else None)


def promote(
    settings: GatewaySettings,
    role: str,
    found: RoleStatuses,
    *,
    made_by: str,
    evidence: Evidence | None,
) -> tuple[ModelIdentity, ModelIdentity]:
    """Make the shadow of a role answer: that model, and the one that becomes the shadow.

    Args:
        settings: of the archive.
        role: `classifier` or `detector`.
        found: its readers now.
        made_by: who decides it.
        evidence: what is asked of the shadow; None: nothing.

    Raises:
        NotPromoted: there is no shadow, it is not ready or the same model, or `evidence` is short.
        ServiceError: the database cannot be used.
    """
    if found.second is None:
        raise NotPromoted(
            f"There is no second {role}: set CXR_GATEWAY_SHADOW_{role.upper()}_URL first."
        )
    with exclusively(settings.resolved_database_url, settings.database_timeout_s) as connection:
        refuse_other(connection)
        session = Session(connection)
        slot = found.answering(latest_promotions(session).get(role))
        before, model = _ready(found, slot, role), _ready(found, slot.other, role)
        if before.sha256 == model.sha256:
            raise NotPromoted(f"Both addresses have the same {role}, {told(model)}.")
        if evidence is not None:
            _refuse_without(evidence, session, role, model, before)
        add_promotion(
            session, role=role, made_by=made_by, slot=slot.other, model=model, before=before
        )
        session.flush()
    return model, before


def roll_back(
    settings: GatewaySettings, role: str, found: RoleStatuses, *, made_by: str
) -> tuple[ModelIdentity, ModelIdentity]:
    """Take the last promotion of a role back: the model that answers again, and the other.

    Raises:
        NotPromoted: none is left, or no address has the model that answered before, ready.
        ServiceError: the database cannot be used.
    """
    with exclusively(settings.resolved_database_url, settings.database_timeout_s) as connection:
        refuse_other(connection)
        session = Session(connection)
        last = last_standing(session, role)
        if last is None:
            raise NotPromoted(f"No promotion of a {role} is left to take back.")
        slot = _slot_of(last.before, found)
        if slot is None:
            raise NotPromoted(
                f"No address has {told(last.before)}, which answered before, ready to answer."
            )
        add_promotion(
            session,
            role=role,
            made_by=made_by,
            slot=slot,
            model=last.before,
            before=last.model,
            undoes=last.number,
        )
        session.flush()
    return last.before, last.model


def told(model: ModelIdentity) -> str:
    """A model as an operator reads it."""
    return f"{model.name} {model.version} ({model.sha256[:12]})"


def _ready(found: RoleStatuses, slot: Slot, role: str) -> ModelIdentity:
    status = found.at(slot)
    model = None if status is None else identity_of(status)
    if model is None:
        detail = status.detail if status else "it has no address"
        raise NotPromoted(f"The {role} at the {slot.value} address is not ready: {detail}.")
    return model


def _slot_of(model: ModelIdentity, found: RoleStatuses) -> Slot | None:
    for slot in Slot:
        status = found.at(slot)
        there = None if status is None else identity_of(status)
        if there is not None and there.sha256 == model.sha256:
            return slot
    return None


def _refuse_without(
    evidence: Evidence, session: Session, role: str, model: ModelIdentity, before: ModelIdentity
) -> None:
    of_pair = (
        ShadowAnswerRow.role == role,
        ShadowAnswerRow.model_sha256 == model.sha256,
        ShadowAnswerRow.current_sha256 == before.sha256,
    )
    counted = select(func.count(), func.count(ShadowAnswerRow.error)).where(*of_pair)
    recorded, failed = session.execute(counted).one()
    answered = recorded - failed
    if answered < evidence.min_answers:
        raise NotPromoted(
            f"{told(model)} has answered {answered} films beside {told(before)}, and "
            f"{evidence.min_answers} are asked for."
        )
    if failed > evidence.max_failures * recorded:
        raise NotPromoted(
            f"{told(model)} failed on {failed} of {recorded} films, more than the "
            f"{evidence.max_failures:.0%} that are allowed."
        )


def _clients(readers: Readers, role: str) -> tuple[InferenceClient, InferenceClient | None]:
    if role == "classifier":
        return readers.classifier, readers.second_classifier
    return readers.detector, readers.second_detector
