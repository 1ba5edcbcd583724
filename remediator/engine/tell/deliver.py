"""Delivers the outbox: at least once, in order; what is given up is logged and counted."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import aiohttp

from ...ports import Notifier
from ...ports.records import Letter
from ...telemetry import log
from ..doors import Doors

AT_ONCE = 20
GIVE_UP_AFTER = 12
LONGEST_PAUSE = timedelta(minutes=10)
SLOWEST = 30.0
# these have the URL as their text
WITH_URL = (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, aiohttp.RedirectClientError)
# ValueError: an address or a credential that no request can be made with
FAILURES = (aiohttp.ClientError, OSError, TimeoutError, ValueError)


async def deliver(
    doors: Doors, receivers: Mapping[str, Notifier], name: str, now: datetime
) -> None:
    """Delivers to one receiver. A slow one does not delay others."""
    letters = await doors.journal.outbox(now, AT_ONCE, name)
    await asyncio.gather(*(_deliver(doors, receivers[name], letter, now) for letter in letters))


async def undeliverable(doors: Doors, receivers: Mapping[str, Notifier], now: datetime) -> None:
    """Gives up notifications to receivers that are no longer configured."""
    for letter in await doors.journal.outbox(now, AT_ONCE, None, tuple(receivers)):
        why = f"no receiver {letter.receiver} is configured"
        await doors.journal.delivered(letter.id, now, why, None)
        log().error(
            "message_undeliverable", receiver=letter.receiver, remediation_id=letter.remediation
        )


def _outcome(error: str | None, again: datetime | None) -> str:
    if error is None:
        return "delivered"
    return "retrying" if again else "given_up"


def failure(error: Exception) -> str:
    """Why a receiver did not accept a notification, without its URL, which is a secret."""
    name = type(error).__name__
    if isinstance(error, WITH_URL):
        return f"{name}: invalid URL; use one that begins with https:// or http://"
    if isinstance(error, aiohttp.ClientResponseError):
        return f"{name}: {error.status} {error.message}"[:300]
    return f"{name}: {error}"[:300]


async def _deliver(doors: Doors, receiver: Notifier, letter: Letter, now: datetime) -> None:
    """One notification. After a failure it is retried with growing pauses, then given up and
    logged.
    """
    error: str | None = None
    again: datetime | None = None
    ref = ""
    try:
        async with asyncio.timeout(SLOWEST):
            said = replace(letter.notice, id=f"{letter.remediation}/{letter.id}")
            ref = await receiver.notify(said, letter.ref)
    except FAILURES as failed:
        error = failure(failed)
        pause = min(LONGEST_PAUSE, timedelta(seconds=5 * 2**letter.tries))
        again = None if letter.tries + 1 >= GIVE_UP_AFTER else now + pause
    outcome = _outcome(error, again)
    doors.metrics.count("notifications_total", receiver.kind, outcome)
    if error:
        log().warning("notification_failed", receiver=letter.receiver, outcome=outcome, error=error)
    await doors.journal.delivered(letter.id, now, error, again, ref=ref)
