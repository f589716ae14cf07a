"""`triage tune` at work: looks at the models in use and the stored scores, shows, asks, writes."""

import argparse
import asyncio
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

from cxr_contracts import ModelIdentity
from cxr_gateway.analysis.triage_folder import TriageModel
from cxr_gateway.analysis.triage_model import TriageModels, load_triage_models
from cxr_gateway.archive import query_once
from cxr_gateway.archive.promotions import ROLES, Promotion, latest_promotions
from cxr_gateway.archive.triage_thresholds import (
    SiteThresholds,
    changing_thresholds,
    latest_results,
    site_thresholds,
)
from cxr_gateway.audit.events import by_the_machine
from cxr_gateway.core.errors import BadInput, CommandError
from cxr_gateway.core.principal import operator_name
from cxr_gateway.core.settings import GatewaySettings, refuse_budgets
from cxr_gateway.inference.clients import ClientOpener, open_clients
from cxr_gateway.inference.routing import ModelRouter, identity_of
from cxr_gateway.tuning.plan import LEAST_IMAGES, described, planned, scored_studies

_TUNED, _RESET = "triage tune", "triage tune --reset"


def tune(
    settings: GatewaySettings, options: argparse.Namespace, opener: ClientOpener = open_clients
) -> str:
    """Set the thresholds of the triage model in use, or give them up; a sentence of what follows.

    Raises:
        BadInput: budgets or number of images cannot be worked with, too few images, no consent.
        CommandError: no triage model is in use.
        ServiceError: the database cannot be used.
    """
    alert = settings.alert_budget if options.alert_budget is None else options.alert_budget
    soon = settings.soon_budget if options.soon_budget is None else options.soon_budget
    try:
        refuse_budgets(alert, soon, names=("--alert-budget", "--soon-budget"))
    except ValueError as error:
        raise BadInput(f"{error}; nothing was changed.") from error
    if options.last < LEAST_IMAGES:
        raise BadInput(
            f"--last is {options.last}, and a tuning needs {LEAST_IMAGES} images; nothing was "
            "changed."
        )
    models = load_triage_models(settings)
    model = asyncio.run(_model_in_use(settings, models, opener))
    if options.reset:
        return _reset(settings, options, model)
    models.use(query_once(settings, site_thresholds))
    results = query_once(settings, lambda session: list(latest_results(session, options.last)))
    studies = scored_studies(results, model.sha256)
    tuning = planned(studies, models.thresholds_of(model), alert, soon)
    sys.stdout.write(described(tuning) + "\n\n")
    _ask(options)
    thresholds = SiteThresholds(
        tuning.after.urgent, tuning.after.soon, alert, soon, tuning.n_images, datetime.now(UTC)
    )
    by = operator_name(options.by)
    details = {"by": by, "urgent": thresholds.urgent, "soon": thresholds.soon}
    with changing_thresholds(settings) as log:
        log.add(model.sha256, thresholds, by, by_the_machine(_TUNED, details=details))
    return (
        f"Urgent from {tuning.after.urgent:.4f} on, soon from {tuning.after.soon:.4f} on, within "
        f"{settings.triage_refresh_s:g} s at every gateway. `triage tune --reset` takes it back."
    )


def _reset(settings: GatewaySettings, options: argparse.Namespace, model: TriageModel) -> str:
    if model.sha256 not in query_once(settings, site_thresholds):
        return "The reference's thresholds are in use; nothing was to do."
    _ask(options)
    by = operator_name(options.by)
    with changing_thresholds(settings) as log:
        log.add(model.sha256, None, by, by_the_machine(_RESET, details={"by": by}))
    return (
        f"The reference's thresholds hold again, within {settings.triage_refresh_s:g} s at every "
        "gateway."
    )


async def _model_in_use(
    settings: GatewaySettings, models: TriageModels, opener: ClientOpener
) -> TriageModel:
    promoted = query_once(settings, latest_promotions)

    async def look_up() -> Mapping[str, Promotion]:
        return promoted

    async with opener(settings) as clients:
        router = ModelRouter(clients, look_up, settings.promotion_poll_s)
        await router.refresh()
        found: dict[str, ModelIdentity | None] = {
            one.role: identity_of(one) for one in await router.status()
        }
    model, detail = models.described(*(found[role] for role in ROLES))
    if model is None:
        raise CommandError(f"No thresholds are there to be tuned. {detail}")
    return model


def _ask(options: argparse.Namespace) -> None:
    if options.yes:
        return
    sys.stdout.write("Do it? [y/N] ")
    sys.stdout.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise BadInput("not confirmed; nothing was changed.")
