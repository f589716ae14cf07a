"""Promote a shadow, or take the last promotion back: what an operator decides, and is refused."""

from dataclasses import dataclass

from cxr_contracts import ModelIdentity
from cxr_gateway.archive.promotions import (
    Promotion,
    PromotionLog,
    Slot,
    active_slot,
    changing_promotions,
)
from cxr_gateway.core.schemas import ServiceStatus
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.inference.clients import (
    ClientOpener,
    InferenceClient,
    InferenceClients,
    open_clients,
)
from cxr_gateway.inference.routing import identity_of
from cxr_gateway.shadow.evidence import Evidence
from cxr_serving.errors import Conflict


class NotPromoted(Conflict):
    """Nothing was changed; the sentence says why."""


@dataclass(frozen=True)
class RoleStatuses:
    """A role's inference services as they are now; `second` is None without a second address."""

    first: ServiceStatus
    second: ServiceStatus | None

    def at(self, slot: Slot) -> ServiceStatus | None:
        """The inference service at one address."""
        return self.first if slot is Slot.FIRST else self.second

    def active(self, promoted: Promotion | None) -> Slot:
        """Where the model is that answers."""
        if self.second is None:
            return Slot.FIRST
        return active_slot(promoted, identity_of(self.first), identity_of(self.second))


async def ask_services(
    settings: GatewaySettings, role: str, opener: ClientOpener = open_clients
) -> RoleStatuses:
    """Ask each address of a role what it has."""
    async with opener(settings) as clients:
        first, second = _clients(clients, role)
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
        found: its inference services now.
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
    with changing_promotions(settings) as log:
        slot = found.active(log.latest(role))
        before, model = _ready(found, slot, role), _ready(found, slot.other, role)
        if before.sha256 == model.sha256:
            raise NotPromoted(f"Both addresses have the same {role}, {described(model)}.")
        if evidence is not None:
            _refuse_without(evidence, log, role, model, before)
        log.add(role=role, made_by=made_by, slot=slot.other, model=model, before=before)
    return model, before


def roll_back(
    settings: GatewaySettings, role: str, found: RoleStatuses, *, made_by: str
) -> tuple[ModelIdentity, ModelIdentity]:
    """Take the last promotion of a role back: the model that answers again, and the other.

    Raises:
        NotPromoted: none is left, or no address has the model that answered before, ready.
        ServiceError: the database cannot be used.
    """
    with changing_promotions(settings) as log:
        last = log.last_standing(role)
        if last is None:
            raise NotPromoted(f"No promotion of a {role} is left to take back.")
        slot = _slot_of(last.before, found)
        if slot is None:
            raise NotPromoted(
                f"No address has {described(last.before)}, which answered before, ready to answer."
            )
        log.add(
            role=role,
            made_by=made_by,
            slot=slot,
            model=last.before,
            before=last.model,
            undoes=last.number,
        )
    return last.before, last.model


def described(model: ModelIdentity) -> str:
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
    evidence: Evidence, log: PromotionLog, role: str, model: ModelIdentity, before: ModelIdentity
) -> None:
    recorded, failed = log.recorded(role, model, before)
    answered = recorded - failed
    if answered < evidence.min_answers:
        raise NotPromoted(
            f"{described(model)} has answered {answered} images beside {described(before)}, and "
            f"{evidence.min_answers} are asked for."
        )
    if failed > evidence.max_failures * recorded:
        raise NotPromoted(
            f"{described(model)} failed on {failed} of {recorded} radiographs, more than the "
            f"{evidence.max_failures:.0%} that are allowed."
        )


def _clients(
    clients: InferenceClients, role: str
) -> tuple[InferenceClient, InferenceClient | None]:
    if role == "classifier":
        return clients.classifier, clients.second_classifier
    return clients.detector, clients.second_detector
