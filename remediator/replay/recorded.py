"""Recorded webhooks: files with one JSON document each, JSON lines, or folders."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path

import orjson

from ..alertmanager.payload import BadPayload, Webhook, alerts_of, decode
from ..errors import ConfigurationError
from ..model.alert import Alert


@dataclass(frozen=True, slots=True)
class Recorded:
    """One webhook, its place, and its assumed time: when its newest alert started or ended."""

    place: str
    at: datetime
    alerts: tuple[Alert, ...]
    truncated: int


def read(paths: Sequence[Path]) -> list[Recorded]:
    """Every webhook in the files and folders. Raises: ConfigurationError with all errors."""
    found: list[Recorded] = []
    wrong: list[str] = []
    for path in list(chain.from_iterable(map(_files, paths))):
        try:
            text = path.read_bytes()
        except OSError as error:
            wrong.append(f"{path}: {error.strerror}")
            continue
        for number, body in _documents(path, text):
            place = f"{path}:{number}" if number else str(path)
            try:
                found.append(_recorded(place, decode(body)))
            except BadPayload as error:
                wrong.append(f"{place}: not an Alertmanager webhook: {error}")
    if wrong:
        raise ConfigurationError("cannot replay:\n" + "\n".join(f"  {line}" for line in wrong))
    if not found:
        raise ConfigurationError(
            f"cannot replay: no webhooks found in {', '.join(map(str, paths))}"
        )
    return sorted(found, key=lambda item: item.at)


def _files(path: Path) -> list[Path]:
    """The file, or the JSON files of a folder. Other files in a folder must not end in .json."""
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.rglob("*") if file.suffix in {".json", ".jsonl", ".ndjson"})


def _documents(path: Path, text: bytes) -> list[tuple[int, bytes]]:
    """The document (0), or each line that is one (its number)."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    return [(0, text)]


def _recorded(place: str, webhook: Webhook) -> Recorded:
    alerts = alerts_of(webhook)
    if not alerts:
        raise BadPayload("alerts: the list is empty")
    return Recorded(
        place,
        max(alert.ends_at or alert.starts_at for alert in alerts),
        alerts,
        webhook.truncatedAlerts,
    )
