"""The journal's tables.

Constraints act as locks: one open episode per key, one live remediation per rule and target.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Instant(sa.TypeDecorator[datetime]):
    """An aware time as microseconds since 1970, the same in every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> int | None:
        """To microseconds."""
        return None if value is None else (value - EPOCH) // MICROSECOND

    def process_result_value(self, value: int | None, dialect: Any) -> datetime | None:
        """To an aware time. An impossible one becomes the epoch, so that no row can stop others
        from being read.
        """
        try:
            return None if value is None else EPOCH + timedelta(microseconds=value)
        except OverflowError:
            return EPOCH


metadata = MetaData()


def partial(sqlite: str, postgresql: str = "") -> dict[str, Any]:
    """The condition of a partial index, in each database's own words.

    SQLite only uses a partial index for a statement with the same text: `open = 1`, where
    PostgreSQL has `open`.
    """
    return {"sqlite_where": sa.text(sqlite), "postgresql_where": sa.text(postgresql or sqlite)}


Key = BigInteger().with_variant(Integer, "sqlite")

inbox = Table(
    "inbox",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("source", String(200), nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("error", Text),
    # rows are deleted by id, so an id must never come back (PostgreSQL's never do)
    sqlite_autoincrement=True,
)

episode = Table(
    "episode",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("source", String(200), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("open", Boolean, nullable=False),
    Column("fate", String(20), nullable=False),
    Column("reason", String(40)),
    Column("starts_at", Instant, nullable=False),
    Column("ends_at", Instant),
    Column("last_seen", Instant, nullable=False),
    Column("confirmed_at", Instant, nullable=False),
    Column("deliveries", Integer, nullable=False),
    Column("alert", Text, nullable=False),
    Column("rules_digest", String(32), nullable=False, default=""),
    Column("reopened", Boolean, nullable=False, default=False),
    Column("due_at", Instant),
)
Index("episode_open", episode.c.source, episode.c.fingerprint, unique=True, **partial("open"))
OPEN = partial("open = 1", "open")
Index("episode_pending", episode.c.due_at, episode.c.id, **OPEN)
Index("episode_began", episode.c.starts_at, episode.c.id, **OPEN)
Index("episode_fate", episode.c.fate, **OPEN)
Index("episode_ended", episode.c.last_seen, **partial("open = 0", "NOT open"))
Index(
    "episode_fingerprint",
    episode.c.fingerprint,
    episode.c.source,
    episode.c.open,
    episode.c.ends_at,
)

remediation = Table(
    "remediation",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("rule", String(200), nullable=False),
    Column("rule_digest", String(32), nullable=False),
    Column("rule_text", Text, nullable=False),
    Column("undo_of", String(40), nullable=False, default=""),
    Column("undoes", String(60), nullable=False, default=""),
    Column("undo_why", String(20), nullable=False, default=""),
    Column("mode", String(10), nullable=False),
    Column("cluster", String(200), nullable=False),
    Column("kind", String(100), nullable=False),
    Column("namespace", String(64), nullable=False),
    Column("name", String(253), nullable=False),
    Column("uid", String(64), nullable=False, default=""),
    Column("target_key", String(640), nullable=False),
    Column("root_key", String(640), nullable=False, default=""),
    Column("state", String(20), nullable=False),
    Column("live", Boolean, nullable=False),
    Column("acted", Boolean, nullable=False, default=False),
    Column("told", Boolean, nullable=False, default=False),
    Column("reason", String(40)),
    Column("why", Text, nullable=False, default=""),
    Column("rung", Integer, nullable=False, default=0),
    Column("born_at", Instant, key="created_at", nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("held_since", Instant),
    Column("ended_at", Instant),
    Column("approved_digest", String(80), nullable=False, default=""),
    Column("approved_by", String(200), nullable=False, default=""),
    Column("approved_first", String(200), nullable=False, default=""),
    Column("cancel_by", String(200), nullable=False, default=""),
    Column("retried_at", Instant),
    Column("ended_template", String(32), nullable=False, default=""),
    Column("look", Text, nullable=False, default="{}"),
    Column("token", Integer, nullable=False, default=0),
    Column("lease_until", Instant),
    Column("priority", Integer, nullable=False, default=0),
    Column("created_for", BigInteger),
)
Index(
    "remediation_live",
    remediation.c.rule,
    remediation.c.target_key,
    unique=True,
    **partial("live AND undo_of = ''"),
)
Index("remediation_undo", remediation.c.undo_of, unique=True, **partial("live AND undo_of != ''"))
Index("remediation_told", remediation.c.told, **partial("told = 1", "told"))
Index("remediation_born", remediation.c.created_at)
Index("remediation_state", remediation.c.state, remediation.c.created_at)
Index("remediation_alive", remediation.c.state, **partial("live = 1", "live"))
Index("remediation_ended", remediation.c.ended_at, **partial("live = 0", "NOT live"))
Index("remediation_target", remediation.c.target_key)
Index("remediation_rule", remediation.c.rule, remediation.c.ended_at)
Index("remediation_history", remediation.c.rule, remediation.c.target_key, remediation.c.created_at)
Index(
    "remediation_retried",
    remediation.c.rule,
    remediation.c.target_key,
    remediation.c.retried_at,
    **partial("retried_at IS NOT NULL"),
)
Index(
    "remediation_acts",
    remediation.c.target_key,
    remediation.c.created_at,
    **partial("acted = 1", "acted"),
)
Index(
    "remediation_undoes",
    remediation.c.undo_of,
    remediation.c.created_at,
    **partial("undo_of != ''"),
)
IS_ACTING = (  # written out: an index is not used for bound values
    "state IN ('executing', 'undoing', 'verifying')"
)
IS_JUDGED = "state IN ('failed', 'ineffective', 'succeeded')"
IS_BAD = "state IN ('failed', 'ineffective')"
Index(  # what each rule has earned is counted from the index alone
    "remediation_record",
    remediation.c.rule,
    remediation.c.undo_of,
    remediation.c.state,
    remediation.c.reason,
    remediation.c.acted,
    remediation.c.created_at,
    **partial("live = 0", "NOT live"),
)
Index("remediation_acting", remediation.c.rule, **partial(IS_ACTING))
Index(
    "remediation_bad",
    remediation.c.ended_at,
    **partial(f"acted = 1 AND {IS_BAD}", f"acted AND {IS_BAD}"),
)
Index(
    "remediation_judged",
    remediation.c.rule,
    remediation.c.ended_at,
    **partial(f"acted = 1 AND {IS_JUDGED}", f"acted AND {IS_JUDGED}"),
)
Index(
    "remediation_acted",
    remediation.c.rule,
    remediation.c.target_key,
    remediation.c.ended_at,
    **partial("acted = 1 AND live = 0", "acted AND NOT live"),
)

attachment = Table(
    "attachment",
    metadata,
    Column("episode", Key, primary_key=True),
    Column("remediation", String(40), primary_key=True, index=True),
    Column("ended", Boolean, nullable=False, default=False),
)
Index("attachment_ended", attachment.c.episode, **partial("ended = 1", "ended"))

attempt = Table(
    "attempt",
    metadata,
    Column("id", String(60), primary_key=True),
    Column("remediation", String(40), nullable=False, index=True),
    Column("number", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    Column("action", String(100), nullable=False),
    Column("plan", Text, nullable=False),
    Column("digest", String(80), nullable=False),
    Column("causes", Text, nullable=False),
    Column("begun_at", Instant, nullable=False),
    Column("sent_by", Instant, nullable=False),
    Column("applied_at", Instant),
    Column("evidence", Text),
    Column("converged_at", Instant),
    Column("relapsed_at", Instant),
    Column("proved_since", Instant),
    Column("outcome", String(20)),
    Column("after", Text),
)

target_lock = Table(
    "target_lock",
    metadata,
    Column("key", String(640), primary_key=True),
    Column("remediation", String(40), nullable=False, index=True),
)

charge = Table(
    "charge",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("remediation", String(40), nullable=False),
    Column("rule", String(200), nullable=False),
    Column("action", String(100), nullable=False),
    Column("namespace", String(64), nullable=False),
    Column("root_key", String(640), nullable=False),
    Column("target_key", String(640), nullable=False),
    Column("at", Instant, nullable=False, index=True),
)

Index("charge_root", charge.c.root_key, charge.c.at)
Index("charge_rule", charge.c.rule, charge.c.root_key, charge.c.at)
Index("charge_per_rule", charge.c.rule, charge.c.at)
Index("charge_action", charge.c.action, charge.c.at)
Index("charge_namespace", charge.c.namespace, charge.c.at)
Index("charge_remediation", charge.c.remediation)

timer = Table(
    "timer",
    metadata,
    Column("kind", String(20), primary_key=True),
    Column("ref", String(60), primary_key=True),
    Column("due_at", Instant, nullable=False, index=True),
)
Index("timer_due", timer.c.kind, timer.c.due_at, timer.c.ref)
Index("timer_ref", timer.c.ref)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("remediation", String(40), nullable=False),
    Column("receiver", String(200), nullable=False),
    Column("body", Text, nullable=False),
    Column("due_at", Instant),
    Column("tries", Integer, nullable=False, default=0),
    Column("delivered_at", Instant),
    Column("error", Text),
    Column("ref", String(200), nullable=False, default=""),
    Column("at", Instant),
)
Index("outbox_due", outbox.c.due_at)
Index("outbox_remediation", outbox.c.remediation)
Index("outbox_at", outbox.c.at)

entry = Table(
    "entry",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("at", Instant, nullable=False),
    Column("remediation", String(40), index=True),
    Column("kind", String(40), nullable=False),
    Column("reason", String(40)),
    Column("text", Text, nullable=False, default=""),
    Column("number", BigInteger),
    Column("digest", String(64)),
)
IS_DECISION = "kind IN ('approved', 'denied')"
Index("entry_decision", entry.c.kind, entry.c.remediation, **partial(IS_DECISION))
Index("entry_number", entry.c.number, unique=True)
Index(
    "entry_unsealed",
    entry.c.id,
    sqlite_where=entry.c.number.is_(None),
    postgresql_where=entry.c.number.is_(None),
)

seal = Table(
    "seal",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("at", Instant, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("pruned", Boolean, nullable=False, default=False),
)

storm = Table(
    "storm",
    metadata,
    Column("scope", String(200), key="group", primary_key=True),
    Column("since", Instant, nullable=False),
    Column("until", Instant, nullable=False),
    Column("why", Text, nullable=False),
)

breaker = Table(
    "breaker",
    metadata,
    Column("rule", String(200), primary_key=True),
    Column("opened_at", Instant),
    Column("reset_at", Instant),
    Column("reset_by", String(200), nullable=False, default=""),
)

pause = Table(
    "pause",
    metadata,
    Column("scope", String(300), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("author", String(200), nullable=False),
    Column("until", Instant),
    Column("at", Instant, nullable=False),
)
