"""What docs/performance.md says besides its figures."""

from collections.abc import Mapping


def curve(title: str, *lines: Mapping[str, float]) -> str:
    """A diagram of what grows with the numbers below it; GitHub draws it."""
    below = ", ".join(f'"{key}"' for key in lines[0])
    drawn = "\n".join(
        f"    line [{', '.join(f'{value:.1f}' for value in line.values())}]" for line in lines
    )
    return f'```mermaid\nxychart-beta\n    title "{title}"\n    x-axis [{below}]\n{drawn}\n```'


NOTES = """\
What a profile showed: with one row per alert, encoding alerts again was the cost of accepting, so a
webhook is stored as it came. Then the journal's thread waited for its turn (5 ms by default in
CPython) more than for the disk, so the interpreter switches sooner, and a crowd of webhooks shares
each commit, by a statement that is compiled once. Then the decoded webhooks that waited for their
commit kept the garbage collector busy, twice as long as decoding took, so only a tally of each
waits. What is left is aiohttp's own work per request, decoding, and the disk.

Writes are timed at a real API server whose controllers are stopped meanwhile: what follows a
restart is their work, and would share the cores with what is measured. So no rollout completes, and
every act is looked at again while the others wait.

Rules are found by the value that the fewest of them demand, and patterns by one pass of RE2 over
all of them, so what an alert costs does not depend on how many rules there are, unless most of
their patterns begin and end with `.*`: then each of them may have to be tried.

What rules look at is watched, so a look that holds, or goes on waiting, costs no request. An act is
planned and judged from what there is now: that and its write take thirteen requests, which is most
of what is left between an alert and its write. So at the default `qps` of 20 about three act in two
seconds, and those that come faster wait for their turn.

What was done is verified by a look every five seconds until its alert has resolved and stayed
resolved for five minutes: such a look costs no request, and some fourteen short transactions, most
of which read.

What only waits gives way: it is looked at one after the other, and not while others act. Those that
wait for their turn in a rule are woken by the one that ends. Before an act all active alerts of the
Alertmanager are read once; with a thousand of them that takes 10 ms. What lives as long as the
process is left out of garbage collection, which paused everything for 100 to 250 ms before.

Writes that come together share a commit: sixteen writers commit 5,400 times a second on the disk on
which 3,100 did alone.

A replay keeps its journal in dictionaries, and does what is due and nothing in between. What is
left is the engine itself: a matched alert is looked at as often as in a daemon, and of the others
each costs a delivery, a match, and a look at what is due.

Where it is slow: many at once are bound by the interpreter, most of which runs the journal's
statements: an act takes some sixty of them in a dozen transactions, about 25 ms. Alerts are
accepted faster than they are triaged; the backlog waits in the journal (`webhooks.waiting` and
`episodes.pending` of `/api/v1/counts`).
"""
