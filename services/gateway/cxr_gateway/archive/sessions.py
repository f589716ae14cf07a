"""Sessions of people, and sign-ins on their way, in the database that all gateways share.

A browser holds a random token and nothing else; what it stands for is here, and ends here: by a
sign-out, by an hour without use, by the end of the working day, whichever comes first (ADR 0024).
"""

import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Engine, delete, select, update
from sqlalchemy.orm import Session as Transaction

from cxr_gateway.archive.db_errors import database_failures
from cxr_gateway.archive.schema import current_database
from cxr_gateway.archive.tables import SessionRow, SignInRow
from cxr_gateway.core.access_settings import AccessSettings
from cxr_gateway.core.errors import Unauthenticated
from cxr_gateway.core.principal import Principal, PrincipalKind, Role
from cxr_gateway.core.sealing import SealedError
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.core.tokens import in_utc, new_token, now, roles_from, roles_text, sha256_of

# A row is written once a minute of use, not once a request.
_SEEN_EVERY = timedelta(minutes=1)
# Of a token's hash, which is not the token: enough to tell sessions apart.
SHOWN_CHARS = 12


@dataclass(frozen=True)
class Person:
    """Who the provider says has signed in."""

    subject: str
    name: str
    roles: frozenset[Role]
    department: str | None
    id_token: str
    sid: str | None = None
    refresh_token: str | None = None

    @property
    def principal(self) -> Principal:
        """Who asks, without their name."""
        return Principal(PrincipalKind.USER, self.subject, self.roles, self.department)


@dataclass(frozen=True)
class Session:
    """A person who is signed in, and until when at the latest.

    `check_due`: the person's roles are to be read again.
    """

    person: Person
    expires_at: datetime
    check_due: bool = False


@dataclass(frozen=True)
class OpenSession:
    """A session as an operator sees it: not the token, and enough of its hash to name it by."""

    shown: str
    subject: str
    roles: frozenset[Role]
    department: str | None
    seen_at: datetime
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
        self._keyring = settings.keyring
        self._idle = timedelta(seconds=settings.session_idle_s)
        self._max = timedelta(seconds=settings.session_max_s)
        self._recheck = timedelta(seconds=settings.session_recheck_s)
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
        owner = sha256_of(token)
        row = SessionRow(
            token_sha256=owner,
            subject=person.subject,
            name=person.name,
            roles=roles_text(person.roles),
            department=person.department,
            id_token=self._keyring.sealed(person.id_token, owner),
            sid=person.sid,
            refresh_token=self._sealed(person.refresh_token, owner) if self._recheck else None,
            checked_at=moment,
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
            person = None if row is None else self._person(row)
            if row is None or person is None:
                return None
            checked_at = row.checked_at and in_utc(row.checked_at)
            seen_at, expires_at = in_utc(row.seen_at), in_utc(row.expires_at)
        moment = now()
        if moment >= min(seen_at + self._idle, expires_at):
            self.end(token)
            return None
        if attended and moment - seen_at > min(_SEEN_EVERY, self._idle / 2):
            self._note_use(token, moment)
        due = (
            bool(self._recheck)
            and person.refresh_token is not None
            and checked_at is not None
            and moment - checked_at >= self._recheck
        )
        return Session(person, expires_at, check_due=due)

    def begin_check(self, token: str) -> bool:
        """Whether it is up to the caller to read a session's roles again: once for each time."""
        moment = now()
        mine = (
            update(SessionRow)
            .where(SessionRow.token_sha256 == sha256_of(token))
            .where(SessionRow.checked_at <= moment - self._recheck)
            .values(checked_at=moment)
        )
        with database_failures(), self._engine.begin() as connection:
            return connection.execute(mine).rowcount == 1

    def checked(self, token: str, person: Person) -> None:
        """Keep what the provider says of a session's person by now."""
        kept = (
            update(SessionRow)
            .where(SessionRow.token_sha256 == sha256_of(token))
            .values(
                roles=roles_text(person.roles),
                department=person.department,
                refresh_token=self._sealed(person.refresh_token, sha256_of(token)),
            )
        )
        with database_failures(), self._engine.begin() as connection:
            connection.execute(kept)

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

    def open_now(self) -> list[OpenSession]:
        """The sessions that have not ended, the oldest use first."""
        moment = now()
        with database_failures(), Transaction(self._engine) as transaction:
            rows = transaction.scalars(select(SessionRow).order_by(SessionRow.seen_at)).all()
        return [
            OpenSession(
                row.token_sha256[:SHOWN_CHARS],
                row.subject,
                roles_from(row.roles),
                row.department,
                in_utc(row.seen_at),
                in_utc(row.expires_at),
            )
            for row in rows
            if moment < min(in_utc(row.seen_at) + self._idle, in_utc(row.expires_at))
        ]

    def end_shown(self, shown: str) -> int:
        """End the session that `open_now` calls so; how many ended."""
        return self._end_where(SessionRow.token_sha256.startswith(shown, autoescape=True))

    def end_of(self, *, subject: str | None, sid: str | None) -> int:
        """End a person's sessions: all, or the one of the provider's session; how many ended."""
        if sid is not None:
            same = SessionRow.sid == sid
            return self._end_where(same if subject is None else same & _of(subject))
        return 0 if subject is None else self._end_where(_of(subject))

    def _person(self, row: SessionRow) -> Person | None:
        """Whose session it is; None where its tokens were sealed by a key that is gone."""
        refresh_token = row.refresh_token
        try:
            if refresh_token is not None:
                refresh_token = self._keyring.opened(refresh_token, row.token_sha256)
            return Person(
                row.subject,
                row.name,
                roles_from(row.roles),
                row.department,
                self._keyring.opened(row.id_token, row.token_sha256),
                row.sid,
                refresh_token,
            )
        except SealedError:
            return None

    def _sealed(self, token: str | None, owner: str) -> str | None:
        return None if token is None else self._keyring.sealed(token, owner)

    def _end_where(self, condition: ColumnElement[bool]) -> int:
        ended = delete(SessionRow).where(condition).returning(SessionRow.token_sha256)
        with database_failures(), self._engine.begin() as connection:
            return len(connection.scalars(ended).all())

    def _note_use(self, token: str, moment: datetime) -> None:
        row = SessionRow.token_sha256 == sha256_of(token)
        with database_failures(), self._engine.begin() as connection:
            connection.execute(update(SessionRow).where(row).values(seen_at=moment))


def _of(subject: str) -> ColumnElement[bool]:
    return SessionRow.subject == subject


@contextmanager
def open_sessions(settings: GatewaySettings) -> Iterator[Sessions]:
    """For a command: the sessions of these settings' archive, closed at the end."""
    with current_database(settings) as engine:
        yield Sessions(engine, settings)
