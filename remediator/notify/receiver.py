"""A kind of receiver, as a value.

One file each, in which it says what it needs and how one is made.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ..ports import Notifier


@dataclass(frozen=True, slots=True)
class Given:
    """What the settings of one receiver say, secrets read; empty where they say nothing."""

    url: str
    token: str
    secret: str
    channel: str


@dataclass(frozen=True, slots=True)
class ReceiverKind:
    """`needs` are the settings without which none can be made. `steps`: it may be told every step.

    `make` imports what only this kind needs. Raises: ConfigurationError.
    """

    name: str
    needs: str
    complete: Callable[[Given], bool]
    make: Callable[[Given], Notifier]
    steps: bool = True
