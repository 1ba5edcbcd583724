"""What a kind of receiver is: one frozen value, from which settings, checks and docs follow."""

from collections.abc import Callable
from dataclasses import dataclass

from ..ports import Notifier


@dataclass(frozen=True, slots=True)
class Given:
    """The settings of one receiver, with secrets read; empty if not set."""

    url: str
    token: str
    secret: str
    channel: str


@dataclass(frozen=True, slots=True)
class ReceiverKind:
    """`manual` is its page; `needs` are the settings it requires; `steps`: it may get every step.

    `make` imports what only this kind needs. Raises: ConfigurationError.
    """

    name: str
    manual: str
    needs: str
    complete: Callable[[Given], bool]
    make: Callable[[Given], Notifier]
    steps: bool = True
