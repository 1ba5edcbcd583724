"""What requests of the API have in common: reading what was sent, and answering in JSON."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage

from ..model.duration import parse_duration
from ..model.text import one_line

# a body that broke off, or is not compressed as it says
BROKEN = (web.RequestPayloadError, BadHttpMessage)


class Mistake(Exception):
    """The request cannot be understood; nothing was done."""

    status = 400


class TooLarge(Mistake):
    """The body is larger than is read."""

    status = 413


def reply(data: Any, status: int = 200) -> web.Response:
    """Answers with JSON."""
    text = orjson.dumps(data, default=_plain, option=orjson.OPT_NON_STR_KEYS)
    return web.Response(body=text, status=status, content_type="application/json")


def _plain(value: Any) -> str:
    return f"{value.total_seconds()}s" if isinstance(value, timedelta) else str(value)


def refuse(status: int, text: str) -> web.Response:
    """Answers with an error."""
    return reply({"error": text}, status)


def asked(request: web.Request, *names: str) -> dict[str, str]:
    """The query's parameters, empty if not given.

    Raises: Mistake for an unknown one.
    """
    unknown = sorted(set(request.query) - set(names))
    if unknown:
        raise Mistake(f"unknown parameter {unknown[0]}; known: {', '.join(names) or 'none'}")
    return {name: request.query.get(name, "") for name in names}


async def bytes_of(request: web.Request) -> bytes:
    """The body that was sent. Raises: Mistake."""
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise TooLarge(
            f"the body is larger than {request.client_max_size} bytes (web.max_body_bytes)"
        ) from None
    except BROKEN as error:
        why = getattr(error, "message", "") or type(error).__name__
        raise Mistake(f"the body cannot be read: {one_line(why)}") from None


async def body_of(request: web.Request) -> dict[str, Any]:
    """The JSON object that was sent. Raises: Mistake."""
    body = await bytes_of(request)
    try:
        data = orjson.loads(body or b"{}")
    except ValueError:
        raise Mistake("the body is not valid JSON; nothing was done") from None
    if not isinstance(data, dict):
        raise Mistake("the body must be a JSON object; nothing was done")
    return data


def text_of(body: dict[str, Any], name: str) -> str:
    """A text in the body, stripped; empty if not given. Raises: Mistake for anything else."""
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise Mistake(f"`{name}` must be text; nothing was done")
    return (value or "").strip()


def since_of(text: str, now: datetime) -> datetime | None:
    """The time that `since` means. Raises: Mistake."""
    if not text:
        return None
    with suppress(ValueError, OverflowError):
        return now - parse_duration(text)
    try:
        at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise Mistake(
            f"since: {text!r} is neither a duration such as 2h nor a time such as"
            " 2026-05-01T12:00:00Z"
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def until_of(text: str, now: datetime) -> datetime:
    """When a pause for so long is over. Raises: Mistake."""
    try:
        until = now + parse_duration(text)
    except ValueError as error:
        raise Mistake(f"for: {error}") from None
    except OverflowError:  # beyond the last year that a time can have
        raise Mistake(f"for: {text} is too long; omit `for` for a pause without an end") from None
    if until <= now:
        raise Mistake("for: must be longer than 0s")
    return until
