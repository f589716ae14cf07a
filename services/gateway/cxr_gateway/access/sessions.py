"""Sessions of people, and sign-ins on their way, in the database that all gateways share.

A browser holds a random token and nothing else; what it stands for is here, and ends here: by a
sign-out, by an hour without use, by the end of the working day, whichever comes first (ADR 0024).
"""

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine, delete, update
from sqlalchemy.orm import Session as Transaction

from cxr_gateway.access.tokens import in_utc, new_token, now, read, sha256_of, written
from cxr_gateway.archive.access_tables import SessionRow, SignInRow
from cxr_gateway.archive.db_errors import database_failures
from cxr_gateway.core.access_settings import AccessSettings
from cxr_gateway.core.errors import Unauthenticated
from cxr_gateway.core.principal import Principal, PrincipalKind, Role

# A row is written once a minute of use, not once a request.
_SEEN_EVERY = timedelta(minutes=1)


@dataclass(frozen=True)
class Person:
    """Who the provider says has signed in."""

    subject: str
    name: str
    roles: frozenset[Role]
    department: str | None
    id_token: str

    @property
    def principal(self) -> Principal:
        """Who asks, without their name."""
        return Principal(PrincipalKind.USER, self.subject, self.roles, self.department)


@dataclass(frozen=True)
class Session:
    """A person who is signed in, and until when at the latest."""

    person: Person
    expires_at: datetime


@dataclass(frozen=True)
class SignIn:
    """What the gateway has to know again when a sign-in comes back.

    `state` goes through the provider, `browser` stays in a cookie: one alone is worth nothing.
    """

    state: str
    browser: str
    nonce: str
    verifier: str
    return_to: str


class Sessions:
    """The sessions of an archive's database; every method blocks."""

    def __init__(self, engine: Engine, settings: AccessSettings) -> None:
        self._engine = engine
        self._idle = timedelta(seconds=settings.session_idle_s)
        self._max = timedelta(seconds=settings.session_max_s)
        self._sign_in_max = timedelta(seconds=settings.sign_in_max_s)

    def begin(self, return_to: str) -> SignIn:
        """Remember a sign-in that goes to the provider; what has expired is forgotten."""
        sign_in = SignIn(new_token(), new_token(), new_token(), new_token(), return_to)
        moment = now()
        row = SignInRow(
            state_sha256=sha256_of(sign_in.state),
            browser_sha256=sha256_of(sign_in.browser),
            nonce=sign_in.nonce,
            verifier=sign_in.verifier,
            return_to=return_to,
            expires_at=moment + self._sign_in_max,
        )
        with database_failures(), Transaction(self._engine) as transaction, transaction.begin():
            transaction.execute(delete(SignInRow).where(SignInRow.expires_at <= moment))
            transaction.execute(delete(SessionRow).where(SessionRow.expires_at <= moment))
            transaction.add(row)
        return sign_in

    def take(self, state: str, browser: str) -> SignIn:
        """The sign-in that comes back, for the first and last time; Unauthenticated otherwise."""
        taken = (
            delete(SignInRow)
            .where(SignInRow.state_sha256 == sha256_of(state))
            .returning(
                SignInRow.browser_sha256,
                SignInRow.nonce,
                SignInRow.verifier,
                SignInRow.return_to,
                SignInRow.expires_at,
            )
        )
        with database_failures(), self._engine.begin() as connection:
            row = connection.execute(taken).first()
        if row is None:
            raise Unauthenticated("unknown or replayed sign-in")
        if not hmac.compare_digest(sha256_of(browser), row.browser_sha256):
            raise Unauthenticated("sign-in of another browser")
        if in_utc(row.expires_at) <= now():
            raise Unauthenticated("expired sign-in")
        return SignIn(state, browser, row.nonce, row.verifier, row.return_to)

    def open(self, person: Person) -> str:
        """A new session; its token, of which only a hash is kept."""
        token, moment = new_token(), now()
        row = SessionRow(
            token_sha256=sha256_of(token),
            subject=person.subject,
            name=person.name,
            roles=written(person.roles),
            department=person.department,
            id_token=person.id_token,
            seen_at=moment,
            expires_at=moment + self._max,
        )
        with database_failures(), Transaction(self._engine) as transaction, transaction.begin():
            transaction.add(row)
        return token

    def find(self, token: str, *, attended: bool) -> Session | None:
        """The session of `token`, unless it has ended.

        Args:
            token: what the browser sent.
            attended: whether a person asks, which keeps the session alive; what an open page
                asks by itself does not.
        """
        with database_failures(), Transaction(self._engine) as transaction:
            row = transaction.get(SessionRow, sha256_of(token))
            if row is None:
                return None
            person = Person(row.subject, row.name, read(row.roles), row.department, row.id_token)
            seen_at, expires_at = in_utc(row.seen_at), in_utc(row.expires_at)
        moment = now()
        if moment >= min(seen_at + self._idle, expires_at):
            self.end(token)
            return None
        if attended and moment - seen_at > min(_SEEN_EVERY, self._idle / 2):
            self._note_use(token, moment)
        return Session(person, expires_at)

    def find_and_end(self, token: str) -> Session | None:
        """Forget a session; what it was, if it had not ended before."""
        session = self.find(token, attended=False)
        self.end(token)
        return session

    def end(self, token: str) -> None:
        """Forget a session; nothing happens if there is none."""
        ended = delete(SessionRow).where(SessionRow.token_sha256 == sha256_of(token))
        with database_failures(), self._engine.begin() as connection:
            connection.execute(ended)

    def _note_use(self, token: str, moment: datetime) -> None:
        row = SessionRow.token_sha256 == sha256_of(token)
        with database_failures(), self._engine.begin() as connection:
            connection.execute(update(SessionRow).where(row).values(seen_at=moment))
