"""Prometheus: the only module with prometheus_api_client, which is synchronous."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, TypeAdapter

from .model.facts import Unknown
from .telemetry import Metrics

TIMEOUT = 5.0
SLOW = 3.0  # seconds; while a question waits for longer, others are not asked
ASK_AGAIN = 15.0  # seconds after a failure
PROVED = 30.0  # seconds after an answer in which it is trusted
MOMENT = 0.5  # seconds from a question on that others wait for its answer, while it is not trusted
REMEMBERED = 30.0  # seconds that rules are taken to be as they were read
# seconds that those who come first wait for rules; who comes later goes by what was read before
FIRST = 2.0
NONE_CONFIGURED = "no Prometheus is configured; set `prometheus:`"
T = TypeVar("T")
Seconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class RuleAnswer(BaseModel):
    """An alerting or recording rule, as /api/v1/rules lists it; times in seconds."""

    type: str
    name: str
    query: str
    duration: Seconds = 0
    keepFiringFor: Seconds = 0


class GroupAnswer(BaseModel):
    """A group of them."""

    rules: list[RuleAnswer]


RESULT, GROUPS = TypeAdapter(list[Any]), TypeAdapter(list[GroupAnswer])


class PrometheusApi:
    """The Prometheus port at a URL; without one everything is Unknown."""

    def __init__(self, url: str, metrics: Metrics | None = None) -> None:
        self._url = url
        self._metrics = metrics or Metrics()
        self._client: Any = None
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="prometheus")
        self._asked: set[float] = set()  # when each question that waits was asked
        self._failed: tuple[float, str] | None = None
        self._answered_at, self._news = -PROVED, asyncio.Event()
        self._rules_tried_at, self._reading_since = -float("inf"), 0.0
        self._rules: dict[str, Mapping[str, Any]] | None = None
        self._no_rules = "Prometheus' rules have not been read yet"
        self._reading: asyncio.Future[dict[str, Mapping[str, Any]]] | None = None

    def _connect(self) -> Any:
        if self._client is None:
            from prometheus_api_client import PrometheusConnect  # imported late: it is heavy
            from urllib3.util import Retry

            # a remediation that holds asks again later; the library's own retries would keep a
            # worker waiting
            self._client = PrometheusConnect(url=self._url, timeout=TIMEOUT, retry=Retry(total=0))
        return self._client

    def _silent(self) -> str:
        """Why it is not asked now, or nothing. Once a pause is over one question is let through."""
        now = time.monotonic()
        if self._failed is not None and (now - self._failed[0] < ASK_AGAIN or self._asked):
            return f"{self._failed[1]}; retrying within {ASK_AGAIN:.0f}s"
        if self._asked and now - min(self._asked) > SLOW:
            return f"Prometheus has not answered for {now - min(self._asked):.0f}s"
        return ""

    async def _turn(self) -> str:
        """Why it is not asked now, or nothing.

        Where it has not answered lately, one asks and the others wait a moment for that.
        """
        now = time.monotonic()
        if now - self._answered_at > PROVED and self._asked and not self._silent():
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, min(self._asked) + MOMENT - now)):
                    await self._news.wait()
            if time.monotonic() - self._answered_at > PROVED:
                return self._silent() or "Prometheus has not answered yet"
        return self._silent()

    async def _ask(self, function: Callable[[], T]) -> T | Unknown:
        silent = await self._turn() if self._url else NONE_CONFIGURED
        if silent:
            return Unknown(silent)
        started = time.monotonic()
        self._asked.add(started)
        answer: T | Unknown
        answered = False
        try:
            async with asyncio.timeout(TIMEOUT + 1):
                answer = await asyncio.get_running_loop().run_in_executor(self._threads, function)
        except TimeoutError:
            answer = Unknown(f"Prometheus did not answer within {TIMEOUT:.0f}s")
        except (LookupError, TypeError, ValueError):
            answer = Unknown("the server that answered is not Prometheus; check `prometheus:`")
        except Exception as error:  # the library raises its own and requests' alike
            answer = Unknown(f"cannot query Prometheus: {type(error).__name__}")
            # it refused this very query, or has no time
            answered = type(error).__name__ == "PrometheusApiClientException"
            answer = (
                Unknown(f"Prometheus rejected the query: {str(error)[:200]}")
                if answered
                else answer
            )
        finally:
            self._asked.discard(started)
        self._heard(answer.why if isinstance(answer, Unknown) and not answered else "")
        self._metrics.count(
            "prometheus_queries_total", "error" if isinstance(answer, Unknown) else "ok"
        )
        self._metrics.observe("prometheus_query_duration_seconds", time.monotonic() - started)
        return answer

    async def holds(self, query: str) -> bool | Unknown:
        """Whether the query returns a non-empty vector.

        A scalar is none: it is there whatever its value.
        """
        answer = await self._ask(
            lambda: RESULT.validate_python(self._connect().custom_query(query))
        )
        if isinstance(answer, Unknown):
            return answer
        if any(not isinstance(item, Mapping) for item in answer):
            return Unknown(
                f"`{query}` returns a scalar; use vector(…) and a comparison, so that it can be"
                " empty"
            )
        return bool(answer)

    async def alerting_rule(self, alertname: str) -> Mapping[str, Any] | Unknown | None:
        """The rule of that name with its recording rules; None where Prometheus has none."""
        if not self._url:
            return Unknown(NONE_CONFIGURED)
        now = time.monotonic()
        stale = now - self._rules_tried_at > REMEMBERED
        if self._reading is None and stale and not self._silent():
            self._reading = asyncio.get_running_loop().run_in_executor(self._threads, self._groups)
            self._reading.add_done_callback(self._read)
            self._reading_since = now
        left = FIRST - (now - self._reading_since)
        # the first time, and not for long
        if self._reading is not None and self._rules is None and left > 0:
            await asyncio.wait([self._reading], timeout=left)
        if self._rules is None:
            return Unknown(self._failed[1] if self._failed else self._no_rules)
        return self._rules.get(alertname)

    def _read(self, reading: "asyncio.Future[dict[str, Mapping[str, Any]]]") -> None:
        """What became of the reading of rules."""
        self._reading, self._rules_tried_at = None, time.monotonic()
        error = None if reading.cancelled() else reading.exception()
        self._metrics.count(
            "prometheus_queries_total", "error" if error or reading.cancelled() else "ok"
        )
        if error is not None:
            status = getattr(getattr(error, "response", None), "status_code", None)
            self._no_rules = f"cannot read Prometheus' rules: {status or type(error).__name__}"
        elif not reading.cancelled():
            self._heard("")
            self._rules = reading.result()

    def _heard(self, why: str) -> None:
        """It answered, or did not and why."""
        now = time.monotonic()
        self._failed = (now, why) if why else None
        self._answered_at = self._answered_at if why else now
        self._news.set()

    def _groups(self) -> dict[str, Mapping[str, Any]]:
        client = self._connect()
        # the library has no call for it
        answer = client._session.get(f"{self._url}/api/v1/rules", timeout=TIMEOUT)
        answer.raise_for_status()
        return _by_name(GROUPS.validate_python(answer.json()["data"]["groups"]))

    def close(self) -> None:
        """Lets the threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _by_name(groups: list[GroupAnswer]) -> dict[str, Mapping[str, Any]]:
    """The alerting rules, the first of each name, each with all recording rules."""
    rules = list(chain.from_iterable(group.rules for group in groups))
    recorded = {rule.name: rule.query for rule in rules if rule.type == "recording"}
    out: dict[str, Mapping[str, Any]] = {}
    for rule in (rule for rule in rules if rule.type == "alerting"):
        out.setdefault(rule.name, {**rule.model_dump(), "recorded": recorded})
    return out


class SandboxPrometheus:
    """In memory: `true` names the queries that return something."""

    def __init__(self) -> None:
        self.true: set[str] = set()

    async def holds(self, query: str) -> bool | Unknown:
        """Whether the query was said to hold."""
        return query in self.true

    async def alerting_rule(self, alertname: str) -> Mapping[str, Any] | Unknown | None:
        """It has no rules."""
        return None
