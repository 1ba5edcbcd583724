"""A seed to a schedule: what happens to the world, and what goes wrong, as
data that can be printed, cut down and played again.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

APPS = ("web", "api", "db", "cart")
ACTIVE = 300.0  # seconds in which things happen
FAULTS = ("error", "conflict", "lost", "landed", "late", "slow", "recreated", "released")


@dataclass(frozen=True, slots=True)
class Happening:
    """At a virtual second something happens: `kind` with its words. Faults are happenings too."""

    at: float
    kind: str
    what: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        words = " ".join(f"{key}={value}" for key, value in self.what.items())
        return f"{self.at:7.1f}s  {self.kind} {words}".rstrip()


def make(seed: int) -> list[Happening]:
    """What a seed stands for, in the order of time."""
    rng = random.Random(seed)
    out: list[Happening] = []
    kind = rng.random()
    if kind < 0.2:
        out += _plague(rng)
    elif kind < 0.4:
        out += _rush(rng)
    elif kind < 0.5:
        out += _jam(rng)
    elif kind < 0.58:
        out += _asked(rng)
    else:
        for number in range(rng.randint(2, 6)):
            out += _trouble(rng, number)
    for _ in range(rng.randint(0, 4)):
        out.append(Happening(rng.uniform(0, ACTIVE), *_person(rng)))
    for _ in range(rng.randint(1, 7)):
        out.append(Happening(rng.uniform(0, ACTIVE), *_fault(rng)))
    if seed % 5 == 2:
        out += _power(random.Random(f"power {seed}"))
    return sorted(out, key=lambda item: item.at)


def _power(rng: random.Random) -> list[Happening]:
    """The machine loses power, a few times."""
    return [
        Happening(
            rng.uniform(0, ACTIVE / 2),
            "power",
            {
                "replica": rng.randint(0, 1),
                "effects": rng.randint(1, 4),
                "after": rng.random() < 0.5,
                "down": rng.uniform(1, 60),
                "begun": rng.random() < 0.7,
            },
        )
        for _ in range(rng.randint(1, 4))
    ]


def _plague(rng: random.Random) -> list[Happening]:
    """The same alert of the same workload again and again: what limits are for."""
    name, app, out = rng.choice(("Leak", "Slow")), rng.choice(APPS), []
    start = rng.uniform(0, 10)
    for number in range(rng.randint(5, 8)):
        ident, end = f"{name}-{app}-{number}", start + rng.uniform(8, 25)
        out.append(Happening(start, "fires", {"alert": name, "app": app, "id": ident}))
        out.append(Happening(start, "deliver", {"id": ident, "firing": True}))
        out.append(Happening(end, "resolves", {"id": ident}))
        out.append(Happening(end, "deliver", {"id": ident, "firing": False}))
        start = end + rng.uniform(16, 30)
    return out


def _rush(rng: random.Random) -> list[Happening]:
    """The same alert of several workloads at the same moment.

    Every worker of every replica begins at once.
    """
    name, out = rng.choice(("Leak", "Slow", "Crash")), []
    for start in (rng.uniform(0, 30), rng.uniform(100, 160)):
        for app in rng.sample(APPS, rng.randint(2, 4)):
            ident, end = f"{name}-{app}-{start:.0f}", start + rng.uniform(20, 60)
            out.append(Happening(start, "fires", {"alert": name, "app": app, "id": ident}))
            out.append(Happening(start, "deliver", {"id": ident, "firing": True}))
            out.append(Happening(end, "resolves", {"id": ident}))
            out.append(Happening(end, "deliver", {"id": ident, "firing": False}))
    return out


def _jam(rng: random.Random) -> list[Happening]:
    """The cluster hangs while somebody is to be told: no worker has time for it."""
    name, app, start = (
        rng.choice(("Crash", "Leak", "Slow", "Suspect")),
        rng.choice(APPS),
        rng.uniform(0, 60),
    )
    ident = f"{name}-{app}"
    return [
        Happening(start, "fires", {"alert": name, "app": app, "id": ident}),
        Happening(start, "deliver", {"id": ident, "firing": True}),
        Happening(start + rng.uniform(40, 110), "hang", {"for": rng.uniform(90, 150)}),
        *_trouble(rng, 1),
    ]


def _asked(rng: random.Random) -> list[Happening]:
    """People are asked, and somebody changes the workload about when they answer."""
    app, start = rng.choice(APPS), rng.uniform(0, 60)
    answered = start + rng.uniform(15, 60)
    return [
        Happening(start, "fires", {"alert": "Ask", "app": app, "id": f"Ask-{app}"}),
        Happening(start, "deliver", {"id": f"Ask-{app}", "firing": True}),
        Happening(answered, "decide", {"approve": True}),
        Happening(
            answered + rng.uniform(-2, 2), "replicas", {"app": app, "count": rng.randint(4, 6)}
        ),
        Happening(answered + 40, "decide", {"approve": rng.random() < 0.5}),
        *_trouble(rng, 1),
    ]


def _trouble(rng: random.Random, number: int) -> list[Happening]:
    """One alert: its trouble, its deliveries with copies and delays, and its end."""
    name, app = rng.choice(("Crash", "Leak", "Slow", "Suspect", "Ask")), rng.choice(APPS)
    start = rng.uniform(0, ACTIVE / 2)
    fires = Happening(start, "fires", {"alert": name, "app": app, "id": f"{name}-{app}-{number}"})
    out = [fires]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at = start + rng.choice((0.0, 0.0, rng.uniform(0, 60)))
        if rng.random() < 0.2:  # whoever takes it dies then
            doomed = {"effects": 1, "after": rng.random() < 0.3, "down": rng.uniform(1, 30)}
            out += [Happening(at, "crash", {"replica": replica, **doomed}) for replica in (0, 1)]
        out.append(Happening(at, "deliver", {"id": fires.what["id"], "firing": True}))
    if rng.random() < 0.8:
        end = start + rng.uniform(5, 200)
        out.append(Happening(end, "resolves", {"id": fires.what["id"]}))
        for _ in range(rng.choice((0, 1, 1, 2))):  # it may never be delivered
            out.append(
                Happening(
                    end + rng.uniform(0, 20), "deliver", {"id": fires.what["id"], "firing": False}
                )
            )
        if rng.random() < 0.2:  # a late one
            out.append(
                Happening(
                    end + rng.uniform(1, 60), "deliver", {"id": fires.what["id"], "firing": True}
                )
            )
    return out


def _person(rng: random.Random) -> tuple[str, dict[str, Any]]:
    """What a person or another controller does."""
    app = rng.choice(APPS)
    acts: list[tuple[str, dict[str, Any]]] = [
        ("release", {"app": app, "image": f"{app}:{rng.randint(3, 9)}"}),
        ("replicas", {"app": app, "count": rng.randint(1, 6)}),
        ("recreate", {"app": app}),
        ("annotate", {"app": app}),
        ("silence", {"app": app, "for": rng.uniform(10, 90)}),
        ("pause", {"for": rng.uniform(20, 90)}),
        ("decide", {"approve": rng.random() < 0.8}),
        ("decide", {"approve": True}),
        ("cancel", {}),
        ("undo", {}),
        ("retry", {}),
        ("reload", {"rules": rng.randint(0, 1)}),
    ]
    return rng.choice(acts)


def _fault(rng: random.Random) -> tuple[str, dict[str, Any]]:
    """What goes wrong."""
    replica = rng.randint(0, 1)
    faults: list[tuple[str, dict[str, Any]]] = [
        (
            "crash",
            {
                "replica": replica,
                "effects": rng.randint(1, 12),
                "after": rng.random() < 0.5,
                "down": rng.uniform(1, 90),
            },
        ),
        (
            "crash",
            {
                "replica": replica,
                "effects": rng.randint(1, 5),
                "after": rng.random() < 0.5,
                "down": rng.uniform(1, 30),
            },
        ),
        ("call", {"fault": rng.choice(FAULTS), "count": rng.randint(1, 3)}),
        ("call", {"fault": rng.choice(FAULTS), "count": rng.randint(1, 3)}),
        ("call", {"fault": rng.choice(("recreated", "released")), "count": rng.randint(1, 3)}),
        ("blind", {"for": rng.uniform(5, 60)}),
        ("deaf", {"for": rng.uniform(20, 120)}),
        ("hang", {"for": rng.uniform(20, 200)}),
        ("quiet", {"replica": replica, "for": rng.uniform(20, 240)}),
        ("quiet", {"replica": replica, "for": rng.uniform(20, 240)}),
        ("expire", {"replica": replica}),
        ("disk", {"replica": replica, "for": rng.uniform(2, 20)}),
        ("clock", {"replica": replica, "by": rng.uniform(-45, 45)}),
        (
            "stall",
            {"replica": replica, "effects": rng.randint(1, 6), "for": rng.uniform(20, 150)},
        ),
        (
            "stall",
            {"replica": replica, "effects": rng.randint(1, 6), "for": rng.uniform(20, 150)},
        ),
    ]
    return rng.choice(faults)


def smallest(
    happenings: list[Happening], fails: Callable[[list[Happening]], bool]
) -> list[Happening]:
    """Leaves out whatever the failure does not need, one at a time
    and until nothing more can be left out.
    """
    kept, tried = list(happenings), True
    while tried:
        tried = False
        for item in list(kept):
            fewer = [other for other in kept if other is not item]
            if fails(fewer):
                kept, tried = fewer, True
    return kept
