"""The node's memory: an SQLite file beside the spool, one row for each instance and each delivery.

A row is committed and synced before anybody is told that it holds, so a kill at any moment loses
nothing that was acknowledged. Times are seconds since the epoch: they outlive the process.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

SCHEMA_VERSION = 3
_SCHEMA = """
CREATE TABLE instances (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    sop_instance_uid TEXT NOT NULL,
    sop_class_uid TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    sender TEXT NOT NULL,
    received_at REAL NOT NULL,
    file TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at REAL NOT NULL DEFAULT 0,
    study_id TEXT,
    status TEXT,
    reason TEXT,
    finished_at REAL,
    UNIQUE (sop_instance_uid, sha256)
);
CREATE INDEX instances_by_state ON instances (state, due_at);
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    destination TEXT NOT NULL,
    study_id TEXT NOT NULL,
    object TEXT NOT NULL,
    urgency INTEGER NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at REAL NOT NULL DEFAULT 0,
    created_at REAL NOT NULL,
    sop_class_uid TEXT,
    sop_instance_uid TEXT,
    transaction_uid TEXT,
    changed_at REAL NOT NULL,
    reason TEXT,
    UNIQUE (destination, study_id, object)
);
CREATE INDEX deliveries_by_state ON deliveries (destination, state, urgency, id);
CREATE TABLE commitments (
    transaction_uid TEXT PRIMARY KEY,
    requester TEXT NOT NULL,
    instances TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at REAL NOT NULL DEFAULT 0,
    created_at REAL NOT NULL
);
"""
# What version 2 added: orders, and what was fetched from an archive.
_SINCE_2 = """
ALTER TABLE instances ADD COLUMN ordered TEXT;
CREATE TABLE orders (
    accession TEXT PRIMARY KEY,
    patient_id TEXT NOT NULL,
    study_uid TEXT,
    content TEXT NOT NULL,
    scheduled_at REAL NOT NULL,
    changed_at REAL NOT NULL
);
CREATE INDEX orders_by_patient ON orders (patient_id, scheduled_at);
CREATE INDEX orders_by_study ON orders (study_uid);
CREATE TABLE fetched (
    source TEXT NOT NULL,
    sop_instance_uid TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    fetched_at REAL NOT NULL,
    PRIMARY KEY (source, sop_instance_uid)
);
CREATE INDEX fetched_by_time ON fetched (source, fetched_at);
"""
# Version 3: whether an instance that comes is one that was sent out.
_SINCE_3 = """
CREATE INDEX deliveries_by_instance ON deliveries (sop_instance_uid);
"""
_SINCE = (_SCHEMA, _SINCE_2, _SINCE_3)
URGENCY = {"urgent": 0, "soon": 1, "routine": 2}
LEAST_URGENT = 3


class InstanceState(StrEnum):
    """What became of a received instance."""

    WAITING = "waiting"
    ANALYSED = "analysed"
    IGNORED = "ignored"  # one of our own results, or no radiograph by its class
    FAILED = "failed"  # put aside; `reason` says why


class DeliveryState(StrEnum):
    """How far a result came."""

    QUEUED = "queued"
    SENT = "sent"  # the destination answered 0x0000
    CONFIRMED = "confirmed"  # it committed itself to keeping it
    FAILED = "failed"  # a dead letter: sent again by command only
    WITHHELD = "withheld"  # the destination's rules keep it back; `reason` says which


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """A result that was sent and not confirmed yet."""

    id: int
    sop_class_uid: str
    sop_instance_uid: str
    sent_at: float


class LedgerError(RuntimeError):
    """The ledger cannot be used; a sentence."""


@dataclass(frozen=True, slots=True)
class NewInstance:
    """What is known of an instance when it has been received."""

    sop_instance_uid: str
    sop_class_uid: str
    sha256: str
    size_bytes: int
    sender: str
    file: str


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance that waits."""

    id: int
    sop_instance_uid: str
    sender: str
    file: str
    attempts: int
    received_at: float
    # The urgency by its order; None until its order was looked for, empty where there is none.
    ordered: str | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A result that is to be sent."""

    id: int
    destination: str
    study_id: str
    object: str
    attempts: int
    created_at: float


@dataclass(frozen=True, slots=True)
class Commitment:
    """A request for storage commitment that has not been answered: SOP class and instance UIDs."""

    transaction_uid: str
    requester: str
    instances: list[tuple[str, str]]
    attempts: int


class Ledger:
    """The tables; every method is one transaction and may be called in any thread.

    Raises (all methods):
        sqlite3.Error: it cannot be written, for instance because the volume is full.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    @classmethod
    def open(cls, path: Path) -> Self:
        """The ledger at `path`, made if it is not there.

        Raises:
            LedgerError: it is of another version of this program, or no ledger.
        """
        try:
            connection = sqlite3.connect(path, timeout=10.0, check_same_thread=False)
            connection.isolation_level = None
            connection.execute("PRAGMA journal_mode = WAL")
            # A commit is on disk before it returns, not only safe from a crash of the process.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version < SCHEMA_VERSION:
                for statements in _SINCE[version:]:
                    for one in statements.split(";\n"):
                        connection.execute(one)
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise LedgerError(f"{path}: {error}.") from error
        if version > SCHEMA_VERSION:
            raise LedgerError(
                f"{path} is of version {version}; this program knows those up to {SCHEMA_VERSION}."
            )
        return cls(connection)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _rows(self, query: str, *values: Any) -> list[Any]:
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    # --- instances ---

    def find(self, sop_instance_uid: str, sha256: str) -> tuple[InstanceState, str] | None:
        """State and file of this instance with this content, if it was received before."""
        query = "SELECT state, file FROM instances WHERE sop_instance_uid = ? AND sha256 = ?"
        for state, file in self._rows(query, sop_instance_uid, sha256):
            return InstanceState(state), file
        return None

    def replace_file(self, sop_instance_uid: str, sha256: str, file: str) -> None:
        """Have an instance wait again whose file was lost, with one that has come since."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE instances SET file = ?, state = 'waiting', attempts = 0, due_at = 0 "
                "WHERE sop_instance_uid = ? AND sha256 = ?",
                (file, sop_instance_uid, sha256),
            )

    def add(self, new: NewInstance) -> bool:
        """Commit an instance whose file is on disk; False if it has been received before."""
        with self._transaction() as connection:
            done = connection.execute(
                "INSERT OR IGNORE INTO instances (sop_instance_uid, sop_class_uid, sha256, "
                "size_bytes, sender, received_at, file, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    new.sop_instance_uid,
                    new.sop_class_uid,
                    new.sha256,
                    new.size_bytes,
                    new.sender,
                    time.time(),
                    new.file,
                    InstanceState.WAITING,
                ),
            )
            return done.rowcount == 1

    def note_dropped(self, new: NewInstance, reason: str) -> None:
        """Commit that an instance came which is not kept, and why."""
        now = time.time()
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO instances (sop_instance_uid, sop_class_uid, sha256, "
                "size_bytes, sender, received_at, file, state, reason, finished_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, 'ignored', ?, ?)",
                (
                    new.sop_instance_uid,
                    new.sop_class_uid,
                    new.sha256,
                    new.size_bytes,
                    new.sender,
                    now,
                    new.file,
                    reason,
                    now,
                ),
            )

    def due(self, limit: int) -> list[Instance]:
        """Instances that wait and whose time has come, the first received first."""
        query = (
            "SELECT id, sop_instance_uid, sender, file, attempts, received_at, ordered "
            "FROM instances WHERE state = ? AND due_at <= ? ORDER BY id LIMIT ?"
        )
        return [Instance(*row) for row in self._rows(query, "waiting", time.time(), limit)]

    def postpone(self, instance: Instance, due_at: float, reason: str) -> None:
        """Have an instance tried again from `due_at` on, and count the attempt."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE instances SET attempts = attempts + 1, due_at = ?, reason = ? WHERE id = ?",
                (due_at, reason, instance.id),
            )

    def finish(
        self,
        instance: Instance,
        state: InstanceState,
        *,
        reason: str | None = None,
        study_id: str | None = None,
        status: str | None = None,
        priority: str | None = None,
        ordered: str | None = None,
        deliveries: Iterable[tuple[str, str]] = (),
        withheld: Iterable[tuple[str, str, str]] = (),
    ) -> None:
        """Note what became of an instance, and queue its deliveries: destination and object.

        Of those that are `withheld` the reason is noted, too.

        They are as urgent as the study or as its order, whichever is more.
        """
        now = time.time()
        with self._transaction() as connection:
            connection.execute(
                "UPDATE instances SET state = ?, reason = ?, study_id = ?, status = ?, "
                "attempts = attempts + 1, finished_at = ? WHERE id = ?",
                (state, reason, study_id, status, now, instance.id),
            )
            if study_id is not None:
                more = min(
                    (priority, ordered), key=lambda one: URGENCY.get(one or "", LEAST_URGENT)
                )
                _queue(connection, study_id, more, deliveries, now)
                _withhold(connection, study_id, withheld, now)

    def retry(self, instance_id: int | None = None) -> list[str]:
        """Let failed instances (one, or all) wait again; their files."""
        with self._transaction() as connection:
            rows = connection.execute(
                "UPDATE instances SET state = 'waiting', attempts = 0, due_at = 0 "
                "WHERE state = 'failed' AND (?1 IS NULL OR id = ?1) RETURNING file",
                (instance_id,),
            ).fetchall()
        return [file for (file,) in rows]

    def files(self, *states: InstanceState) -> set[str]:
        """The files of all instances in these states."""
        query = "SELECT file FROM instances WHERE state IN (SELECT value FROM json_each(?))"
        return {file for (file,) in self._rows(query, json.dumps(states))}

    def kept(self, instances: Sequence[tuple[str, str]]) -> list[set[str]]:
        """For each SOP class and instance UID, the classes under which it is kept."""
        query = (
            "SELECT sop_class_uid FROM instances WHERE sop_instance_uid = ? AND state != 'ignored'"
        )
        return [{found for (found,) in self._rows(query, uid)} for _, uid in instances]

    # --- deliveries ---

    def queue(
        self, study_id: str, priority: str | None, deliveries: Iterable[tuple[str, str]]
    ) -> None:
        """Queue deliveries of a study, again those that were made or have failed before."""
        with self._transaction() as connection:
            _queue(connection, study_id, priority, deliveries, time.time())

    def next_deliveries(self, destination: str, limit: int) -> list[Delivery]:
        """What is to be sent now, urgent first, then the oldest."""
        query = (
            "SELECT id, destination, study_id, object, attempts, created_at FROM deliveries "
            "WHERE destination = ? AND state = 'queued' AND due_at <= ? "
            "ORDER BY urgency, id LIMIT ?"
        )
        return [Delivery(*row) for row in self._rows(query, destination, time.time(), limit)]

    def delivered(
        self,
        delivery: Delivery,
        sop_class: str,
        sop_instance: str,
        warning: str | None,
        *,
        is_confirmed: bool = False,
    ) -> None:
        """Note that the destination took it, and perhaps that it keeps it."""
        state = DeliveryState.CONFIRMED if is_confirmed else DeliveryState.SENT
        with self._transaction() as connection:
            connection.execute(
                "UPDATE deliveries SET state = ?, attempts = attempts + 1, reason = ?, "
                "sop_class_uid = ?, sop_instance_uid = ?, transaction_uid = NULL, due_at = 0, "
                "changed_at = ? WHERE id = ?",
                (state, warning, sop_class, sop_instance, time.time(), delivery.id),
            )

    def note_sending(self, delivery: Delivery, sop_instance: str) -> None:
        """Note under which UID an object goes out: it may come back before it is acknowledged."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE deliveries SET sop_instance_uid = ? WHERE id = ?",
                (sop_instance, delivery.id),
            )

    def was_sent(self, sop_instance: str) -> bool:
        """Whether an instance of this UID went out to a destination."""
        query = "SELECT 1 FROM deliveries WHERE sop_instance_uid = ? LIMIT 1"
        return bool(self._rows(query, sop_instance))

    def delay(self, deliveries: Iterable[Delivery], due_at: float, reason: str) -> None:
        """Have deliveries tried again from `due_at` on, and count the attempt."""
        with self._transaction() as connection:
            connection.executemany(
                "UPDATE deliveries SET attempts = attempts + 1, due_at = ?, reason = ?, "
                "changed_at = ? WHERE id = ?",
                [(due_at, reason, time.time(), one.id) for one in deliveries],
            )

    def give_up(self, delivery: Delivery, reason: str) -> None:
        """Make a delivery a dead letter."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE deliveries SET state = 'failed', attempts = attempts + 1, reason = ?, "
                "changed_at = ? WHERE id = ?",
                (reason, time.time(), delivery.id),
            )

    def unconfirmed(self, destination: str, limit: int) -> list[Unconfirmed]:
        """What was sent, and of which is to be found out whether it is kept."""
        query = (
            "SELECT id, sop_class_uid, sop_instance_uid, changed_at FROM deliveries "
            "WHERE destination = ? AND state = 'sent' AND due_at <= ? ORDER BY id LIMIT ?"
        )
        return [Unconfirmed(*row) for row in self._rows(query, destination, time.time(), limit)]

    def seen(self, delivery_id: int) -> None:
        """Note that the destination was found to have it."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE deliveries SET state = 'confirmed', changed_at = ? "
                "WHERE id = ? AND state = 'sent'",
                (time.time(), delivery_id),
            )

    def unseen(self, delivery_id: int, due_at: float, *, again: bool) -> None:
        """Note that the destination does not have it: look again at `due_at`, or send it again."""
        state, reason = ("queued", "The destination does not have it.") if again else ("sent", None)
        with self._transaction() as connection:
            connection.execute(
                "UPDATE deliveries SET state = ?, due_at = ?, reason = coalesce(?, reason) "
                "WHERE id = ? AND state = 'sent'",
                (state, due_at, reason, delivery_id),
            )

    def asked(self, ids: Iterable[int], transaction_uid: str, due_at: float) -> None:
        """Note a request for commitment, to be made again at `due_at` if nothing comes."""
        with self._transaction() as connection:
            connection.executemany(
                "UPDATE deliveries SET transaction_uid = ?, due_at = ? WHERE id = ?",
                [(transaction_uid, due_at, one) for one in ids],
            )

    def committed(
        self, transaction_uid: str, kept: Sequence[str], refused: Sequence[str]
    ) -> tuple[int, int]:
        """Note a destination's answer; how many are confirmed, and how many are sent again."""
        now = time.time()
        with self._transaction() as connection:
            confirmed = connection.executemany(
                "UPDATE deliveries SET state = 'confirmed', changed_at = ? "
                "WHERE transaction_uid = ? AND sop_instance_uid = ? AND state = 'sent'",
                [(now, transaction_uid, uid) for uid in kept],
            ).rowcount
            again = connection.executemany(
                "UPDATE deliveries SET state = 'queued', changed_at = ?, "
                # The more often it was sent, the longer it waits: up to nine minutes.
                "due_at = ? + (1 << MIN(attempts, 9)), "
                "reason = 'The destination did not commit itself to keeping it.' "
                "WHERE transaction_uid = ? AND sop_instance_uid = ? AND state = 'sent'",
                [(now, now, transaction_uid, uid) for uid in refused],
            ).rowcount
        return max(confirmed, 0), max(again, 0)

    def resend(self, delivery_id: int | None = None) -> int:
        """Queue dead letters (one, or all) again; how many."""
        with self._transaction() as connection:
            return connection.execute(
                "UPDATE deliveries SET state = 'queued', attempts = 0, due_at = 0, "
                "created_at = ?1, changed_at = ?1 "
                "WHERE state = 'failed' AND (?2 IS NULL OR id = ?2)",
                (time.time(), delivery_id),
            ).rowcount

    # --- orders ---

    def note_orders(
        self, placed: Iterable[tuple[dict[str, str], float]], ended: Iterable[str]
    ) -> None:
        """Keep orders with their times, in place of earlier ones of the same accession."""
        now = time.time()
        with self._transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO orders (accession, patient_id, study_uid, content, "
                "scheduled_at, changed_at) VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (
                        order["accession"],
                        order["patient_id"],
                        order["study_uid"] or None,
                        json.dumps(order),
                        when,
                        now,
                    )
                    for order, when in placed
                ],
            )
            connection.executemany(
                "DELETE FROM orders WHERE accession = ?", [(one,) for one in ended]
            )

    def orders_for(
        self, accession: str, study_uid: str, patient_id: str, at: float, window_s: float
    ) -> list[dict[str, str]]:
        """Orders of an accession number; without one, of a study; else of a patient near a time."""
        if accession:
            rows = self._rows("SELECT content FROM orders WHERE accession = ?", accession)
        else:
            rows = self._rows("SELECT content FROM orders WHERE study_uid = ?", study_uid)
            if not rows and patient_id:
                query = (
                    "SELECT content FROM orders WHERE patient_id = ? "
                    "AND scheduled_at BETWEEN ? AND ?"
                )
                rows = self._rows(query, patient_id, at - window_s, at + window_s)
        return [json.loads(content) for (content,) in rows]

    def matched(self, instance: Instance, urgency: str) -> None:
        """Note that an instance was looked up, so that it never is again; and its urgency."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE instances SET ordered = ? WHERE id = ?", (urgency, instance.id)
            )

    # --- what is fetched from archives ---

    def fetched_since(self, source: str, since: float) -> int:
        """How many instances were fetched from a source since a time."""
        query = "SELECT COUNT(*) FROM fetched WHERE source = ? AND fetched_at >= ?"
        return int(self._rows(query, source, since)[0][0])

    def wanted(self, source: str, uids: Sequence[str], max_attempts: int) -> list[str]:
        """Those of these instances that were neither received nor asked for too often."""
        query = (
            "SELECT value FROM json_each(?1) WHERE value NOT IN "
            "(SELECT sop_instance_uid FROM instances) AND value NOT IN "
            "(SELECT sop_instance_uid FROM fetched WHERE source = ?2 AND attempts >= ?3)"
        )
        return [uid for (uid,) in self._rows(query, json.dumps(list(uids)), source, max_attempts)]

    def note_fetched(self, source: str, uid: str) -> None:
        """Count an attempt; committed before it is made, so that none is made twice unnoticed."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO fetched (source, sop_instance_uid, attempts, fetched_at) "
                "VALUES (?, ?, 1, ?) ON CONFLICT (source, sop_instance_uid) "
                "DO UPDATE SET attempts = attempts + 1, fetched_at = excluded.fetched_at",
                (source, uid, time.time()),
            )

    def forgive_fetched(self, source: str, uid: str) -> None:
        """Take an attempt back; it still counts for the source's limit on an hour."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE fetched SET attempts = attempts - 1 "
                "WHERE source = ? AND sop_instance_uid = ?",
                (source, uid),
            )

    # --- storage commitment, asked of this node ---

    def promise(
        self, transaction_uid: str, requester: str, instances: Sequence[tuple[str, str]]
    ) -> None:
        """Note a request that is to be answered."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO commitments "
                "(transaction_uid, requester, instances, created_at) VALUES (?, ?, ?, ?)",
                (transaction_uid, requester, json.dumps(instances), time.time()),
            )

    def promises(self) -> list[Commitment]:
        """Requests that are to be answered now."""
        query = (
            "SELECT transaction_uid, requester, instances, attempts FROM commitments "
            "WHERE due_at <= ? ORDER BY created_at LIMIT 100"
        )
        return [
            Commitment(uid, requester, [(a, b) for a, b in json.loads(instances)], attempts)
            for uid, requester, instances, attempts in self._rows(query, time.time())
        ]

    def postpone_promise(self, transaction_uid: str, due_at: float) -> None:
        """Have an answer sent again from `due_at` on."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE commitments SET attempts = attempts + 1, due_at = ? "
                "WHERE transaction_uid = ?",
                (due_at, transaction_uid),
            )

    def end_promise(self, transaction_uid: str) -> None:
        """Forget a request that was answered, or cannot be."""
        with self._transaction() as connection:
            connection.execute(
                "DELETE FROM commitments WHERE transaction_uid = ?", (transaction_uid,)
            )

    # --- for eyes and metrics ---

    def counts(self) -> dict[tuple[str, str], int]:
        """How many rows are in each state, by table and state."""
        query = (
            "SELECT 'instances', state, COUNT(*) FROM instances GROUP BY state UNION ALL "
            "SELECT 'deliveries', state, COUNT(*) FROM deliveries GROUP BY state"
        )
        return {(table, state): count for table, state, count in self._rows(query)}

    def instances_in(self, state: InstanceState) -> list[tuple[int, str, str, int, str | None]]:
        """Rows in a state: number, SOP instance, sender, attempts, reason."""
        query = (
            "SELECT id, sop_instance_uid, sender, attempts, reason FROM instances "
            "WHERE state = ? ORDER BY id"
        )
        return self._rows(query, state)

    def deliveries_in(
        self, *states: DeliveryState
    ) -> list[tuple[int, str, str, str, str, int, str | None]]:
        """Rows in these states: number, destination, study, object, state, attempts, reason."""
        query = (
            "SELECT id, destination, study_id, object, state, attempts, reason FROM deliveries "
            "WHERE state IN (SELECT value FROM json_each(?)) ORDER BY urgency, id"
        )
        return self._rows(query, json.dumps(states))

    def forget(self, before: float) -> int:
        """Remove rows that were finished before a time; how many."""
        with self._transaction() as connection:
            instances = connection.execute(
                "DELETE FROM instances WHERE state IN ('analysed', 'ignored') AND finished_at < ?",
                (before,),
            ).rowcount
            deliveries = connection.execute(
                "DELETE FROM deliveries WHERE state IN ('sent', 'confirmed', 'withheld') "
                "AND changed_at < ?",
                (before,),
            ).rowcount
            connection.execute("DELETE FROM orders WHERE changed_at < ?", (before,))
            connection.execute("DELETE FROM fetched WHERE fetched_at < ?", (before,))
        return int(instances + deliveries)


def _queue(
    connection: sqlite3.Connection,
    study_id: str,
    priority: str | None,
    deliveries: Iterable[tuple[str, str]],
    now: float,
) -> None:
    urgency = URGENCY.get(priority or "", LEAST_URGENT)
    connection.executemany(
        "INSERT INTO deliveries (destination, study_id, object, urgency, state, created_at, "
        "changed_at) VALUES (?, ?, ?, ?, 'queued', ?, ?) "
        "ON CONFLICT (destination, study_id, object) DO UPDATE SET state = 'queued', "
        "attempts = 0, due_at = 0, created_at = excluded.created_at, urgency = excluded.urgency",
        [(destination, study_id, kind, urgency, now, now) for destination, kind in deliveries],
    )


def _withhold(
    connection: sqlite3.Connection,
    study_id: str,
    withheld: Iterable[tuple[str, str, str]],
    now: float,
) -> None:
    connection.executemany(
        "INSERT INTO deliveries (destination, study_id, object, urgency, state, created_at, "
        "changed_at, reason) VALUES (?, ?, ?, ?, 'withheld', ?, ?, ?) "
        "ON CONFLICT (destination, study_id, object) DO UPDATE SET state = 'withheld', "
        "changed_at = excluded.changed_at, reason = excluded.reason",
        [(to, study_id, kind, LEAST_URGENT, now, now, reason) for to, kind, reason in withheld],
    )
