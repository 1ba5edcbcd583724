"""The one home of prometheus_api_client, which is synchronous: a thread, a hard timeout, Unknown on any failure."""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from .model.facts import Unknown
from .telemetry import Metrics

TIMEOUT = 10.0
REMEMBERED = 30.0
T = TypeVar("T")


class PrometheusApi:
    """The Prometheus port at a URL; without one everything is Unknown."""

    def __init__(self, url: str, metrics: Metrics | None = None) -> None:
        self._url = url
        self._metrics = metrics or Metrics()
        self._client: Any = None
        self._read: tuple[float, list[Mapping[str, Any]]] = (0.0, [])
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="prometheus")

    def _connect(self) -> Any:
        if self._client is None:
            from prometheus_api_client import PrometheusConnect  # imported late: it is heavy
            from urllib3.util import Retry

            # whoever holds for an answer asks again later; the library's own retries would keep a worker waiting
            self._client = PrometheusConnect(url=self._url, timeout=TIMEOUT, retry=Retry(total=0))
        return self._client

    async def _ask(self, function: Callable[[], T]) -> T | Unknown:
        if not self._url:
            return Unknown("no Prometheus is configured; set `prometheus:`")
        started = time.perf_counter()
        answer: T | Unknown
        try:
            async with asyncio.timeout(TIMEOUT + 1):
                answer = await asyncio.get_running_loop().run_in_executor(self._threads, function)
        except TimeoutError:
            answer = Unknown(f"Prometheus did not answer within {TIMEOUT:.0f}s")
        except Exception as error:  # the library raises its own, requests' and json's alike
            answer = Unknown(f"Prometheus could not be asked: {type(error).__name__}")
        self._metrics.count("prometheus_queries_total", "error" if isinstance(answer, Unknown) else "ok")
        self._metrics.observe("prometheus_query_duration_seconds", time.perf_counter() - started)
        return answer

    async def holds(self, query: str) -> bool | Unknown:
        """Whether the query returns a non-empty vector."""
        answer = await self._ask(lambda: self._connect().custom_query(query))
        return answer if isinstance(answer, Unknown) else bool(answer)

    async def alerting_rule(self, alertname: str) -> Mapping[str, Any] | Unknown | None:
        """The rule of that name with its recording rules; None where Prometheus has none."""
        answer = await self._ask(self._rules)
        if isinstance(answer, Unknown):
            return answer
        rules = [rule for group in answer for rule in group.get("rules", [])]
        recorded = {rule["name"]: rule["query"] for rule in rules if rule.get("type") == "recording"}
        found = next((rule for rule in rules if rule.get("type") == "alerting" and rule.get("name") == alertname), None)
        return None if found is None else {**found, "recorded": recorded}

    def _rules(self) -> list[Mapping[str, Any]]:
        """All groups of rules, remembered for a while: they are asked for at every attempt, and change seldom."""
        read_at, groups = self._read
        if groups and time.monotonic() - read_at < REMEMBERED:
            return groups
        client = self._connect()
        answer = client._session.get(f"{self._url}/api/v1/rules", timeout=TIMEOUT)  # the library has no call for it
        answer.raise_for_status()
        groups = list(answer.json()["data"]["groups"])
        self._read = (time.monotonic(), groups)
        return groups

    def close(self) -> None:
        """Lets the threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)


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
