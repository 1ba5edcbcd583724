"""Every exception raised on purpose, one tree.

RemediatorError
├── ConfigurationError        settings, rules or flags are wrong; exit code 2
├── JournalError
│   ├── JournalLocked         another daemon holds this journal
│   ├── JournalUnavailable    cannot be written now (full disk, lost database)
│   ├── LeaseLost             somebody else works on this remediation now
│   └── AlreadyUnpacked       another replica was quicker with a webhook
└── ClusterError
    ├── Conflict              409: the object moved; observe and plan again
    ├── Forbidden             403, naming the verb and the resource
    ├── TargetGone            404, or another uid
    ├── Expired               410: the version is too old; list again
    ├── Rejected              the API server or an admission policy refused the call
    ├── BudgetExhausted       an eviction's 429: a disruption budget allows none now
    ├── Unreachable           no answer, or 429 / 5xx
    └── Unsupported           the adapter cannot do this at all
"""


class RemediatorError(Exception):
    """Anything that remediator raises on purpose.

    Its message says cannot + what + why + what happens next.
    """

    exit_code = 1


class ConfigurationError(RemediatorError):
    """Settings, rules or flags are wrong; nothing was started or swapped."""

    exit_code = 2


class JournalError(RemediatorError):
    """The journal refused or could not be reached."""


class JournalLocked(JournalError):
    """Another daemon holds this journal."""


class JournalUnavailable(JournalError):
    """The journal cannot be written now; nothing was accepted."""


class AlreadyUnpacked(JournalUnavailable):
    """Another replica was quicker with these webhooks; nothing is lost."""


class LeaseLost(JournalError):
    """The lease on a remediation is no longer ours: stop, touch nothing."""


class ClusterError(RemediatorError):
    """The cluster did not do what was asked; `retry_after` in seconds where it may later."""

    retry_after: float | None = None


class Conflict(ClusterError):
    """The object moved since it was read."""


class Forbidden(ClusterError):
    """RBAC refuses; the message names the verb and the resource."""


class Unauthorized(Forbidden):
    """The credential is rejected: it may have just been renewed, or not be known yet."""


class TargetGone(ClusterError):
    """The object does not exist any more, or another one has its name."""


class Expired(ClusterError):
    """The API server no longer knows what happened since that version."""


class Rejected(ClusterError):
    """The API server or an admission policy refused the call for what it says."""


class BudgetExhausted(ClusterError):
    """A disruption budget allows no eviction now: nothing was done."""

    retry_after = 10.0


class Unreachable(ClusterError):
    """No answer in time, or the API server says that it cannot now."""

    retry_after = 10.0


class Unsupported(ClusterError):
    """This adapter cannot do this at all."""
