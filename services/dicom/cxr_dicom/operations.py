"""A page for the operator: what waits, what failed and why, and buttons that try it again.

It does what `cxr-dicom status`, `retry` and `resend` do. A browser asks for the password by HTTP's
basic authentication; without one set there is no page, and who tries many waits.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable, Sequence
from html import escape
from itertools import islice
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from pydantic import SecretStr

from cxr_dicom.guesses import Guesses
from cxr_dicom.ledger import DeliveryState, InstanceState, Ledger

_LOG = logging.getLogger("cxr.dicom.operations")
_SHOWN = 500
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.4 system-ui, sans-serif; margin: 1rem auto; max-width: 75rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid #8886; padding: 0.3rem 0.6rem; text-align: start; }
td { overflow-wrap: anywhere; }
form { display: inline; }
"""


def operations_page(password: SecretStr, ledger: Callable[[], Ledger]) -> APIRouter:
    """The routes of the page.

    Args:
        password: What the browser has to send; any user name goes with it.
        ledger: Whose rows are shown and tried again.
    """
    expected = password.get_secret_value().encode()
    # A form of another site cannot know it, though the browser would send the password along.
    form_token = secrets.token_urlsafe()

    guesses = Guesses()

    async def known(
        request: Request, credentials: Annotated[HTTPBasicCredentials, Depends(HTTPBasic())]
    ) -> None:
        address = request.client.host if request.client else ""
        if wait_s := guesses.wait_s(address):
            headers = {"Retry-After": str(wait_s)}
            raise HTTPException(429, "Too many wrong passwords from this address.", headers)
        if not secrets.compare_digest(credentials.password.encode(), expected):
            guesses.count(address)
            _LOG.warning("a password of the operator's page was refused", extra={"source": address})
            raise HTTPException(401, headers={"WWW-Authenticate": "Basic"})

    router = APIRouter(prefix="/operations", dependencies=[Depends(known)], include_in_schema=False)

    @router.get("")
    async def show() -> HTMLResponse:
        return HTMLResponse(await asyncio.to_thread(_page, ledger(), form_token), headers=_HEADERS)

    async def number(request: Request) -> int | None:
        """Which row a form is about; None for all."""
        values = parse_qs((await request.body()).decode("utf-8", "replace"))
        if not secrets.compare_digest(values.get("token", [""])[0].encode(), form_token.encode()):
            raise HTTPException(403, "The page is older than the node's start; load it again.")
        [wanted] = values.get("number", [""])
        if wanted == "all":
            return None
        if not wanted.isdecimal() or len(wanted) > 18:
            raise HTTPException(422, "`number` is the number of a row, or `all`.")
        return int(wanted)

    @router.post("/retry")
    async def retry(row: Annotated[int | None, Depends(number)]) -> Response:
        await asyncio.to_thread(ledger().retry, row)
        return RedirectResponse("/operations", 303)

    @router.post("/resend")
    async def resend(row: Annotated[int | None, Depends(number)]) -> Response:
        await asyncio.to_thread(ledger().resend, row)
        return RedirectResponse("/operations", 303)

    return router


def _page(ledger: Ledger, token: str) -> str:
    counts = ledger.counts()
    failed = ledger.instances_in(InstanceState.FAILED)
    dead = ledger.deliveries_in(DeliveryState.FAILED)
    queued = ledger.deliveries_in(DeliveryState.QUEUED)
    withheld = ledger.deliveries_in(DeliveryState.WITHHELD)

    def button(action: str, number: int | str, label: str) -> str:
        return (
            f'<form method="post" action="/operations/{action}">'
            f'<input type="hidden" name="token" value="{token}">'
            f'<button name="number" value="{number}">{label}</button></form>'
        )

    sections = [
        _section(
            "Results that could not be delivered",
            ("", "destination", "object", "study", "attempts", "reason", ""),
            (
                ((number, to, kind, study, attempts, reason), button("resend", number, "Send"))
                for number, to, study, kind, _, attempts, reason in dead
            ),
            len(dead),
            button("resend", "all", "Send all"),
        ),
        _section(
            "Instances that were put aside",
            ("", "sender", "SOP instance UID", "attempts", "reason", ""),
            (
                ((number, sender, uid, attempts, reason), button("retry", number, "Analyse"))
                for number, uid, sender, attempts, reason in failed
            ),
            len(failed),
            button("retry", "all", "Analyse all"),
        ),
        _section(
            "Results that wait",
            ("", "destination", "object", "study", "attempts", "last reason", ""),
            (
                ((number, to, kind, study, attempts, reason), "")
                for number, to, study, kind, _, attempts, reason in queued
            ),
            len(queued),
        ),
        _section(
            "Results that a rule keeps back",
            ("", "destination", "object", "study", "reason", ""),
            (
                ((number, to, kind, study, reason), "")
                for number, to, study, kind, _, _, reason in withheld
            ),
            len(withheld),
        ),
        _section(
            "Counts",
            ("", "state", "number", ""),
            (((table, state, count), "") for (table, state), count in sorted(counts.items())),
            len(counts),
        ),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>DICOM node</title>'
        f"<style>{_STYLE}</style></head><body><main><h1>DICOM node</h1>"
        + "".join(sections)
        + "</main></body></html>"
    )


def _section(
    title: str,
    heads: Sequence[str],
    rows: Iterable[tuple[Sequence[int | str | None], str]],
    count: int,
    for_all: str = "",
) -> str:
    if not count:
        return f"<h2>{title}</h2><p>None.</p>"
    head = "".join(f"<th scope=col>{one}</th>" for one in heads)
    body = ""
    for cells, form in islice(rows, _SHOWN):
        texts = ("" if one is None else escape(str(one)) for one in cells)
        body += "<tr>" + "".join(f"<td>{one}</td>" for one in (*texts, form)) + "</tr>"
    more = f"<p>The first {_SHOWN} of {count}.</p>" if count > _SHOWN else ""
    return (
        f"<h2>{title} ({count})</h2>{for_all}{more}"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )
