"""The outbox: every notification is delivered at least once, those about one thing to one receiver
in their order, and no receiver waits for another.
"""

import asyncio
from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from remediator.model.notice import Notice
from remediator.model.remediation import Event
from remediator.ports.journal import Journal
from remediator.ports.records import Message
from tests.contract.journals import at, claimed, fires, opened, to
from tests.contract.journals import journal as journal
from tests.contract.test_journal import MINUTE, NOW, end, hold_until, wanted

TICK = timedelta(microseconds=1)
RETRIED_AT = MINUTE  # a letter that was taken and of which nothing is heard is due again


async def tells(journal: Journal, *messages: Message, about: str = "web") -> str:
    """A remediation about a workload tells people. Returns its ID."""
    if not [row for row in await journal.remediations(99, None) if row["name"] == about]:
        await fires(journal, replace(wanted(about), settled_at=NOW), fingerprint=about)
    claim = await claimed(journal)
    await journal.write(claim.remediation, hold_until(NOW), lambda _written: messages)
    return claim.remediation.id


async def taken(journal: Journal, minute: float = 0, receiver: str | None = None) -> list[str]:
    """What is due then, as receiver and text."""
    letters = await journal.outbox(at(minute), 50, receiver)
    return [f"{letter.receiver} {letter.notice.why}" for letter in letters]


async def test_a_notice_arrives_as_it_was_written(journal: Journal) -> None:
    said = Notice(
        remediation="r-1",
        rule="r",
        target="Deployment/shop/web",
        state="failed",
        reason="forbidden",
        why="nein — 禁止\u2028\n",
        show="remediator show r-1",
        story=("a", "b"),
        members=("shop/web",),
        closed=True,
    )
    ident = await tells(journal, Message("pager", said))
    (letter,) = await journal.outbox(NOW)
    assert (letter.notice, letter.remediation, letter.tries, letter.ref) == (said, ident, 0, "")


async def test_a_letter_is_taken_by_one_and_again_if_nothing_is_heard(journal: Journal) -> None:
    await tells(journal, *to("pager", why="1"))
    assert await taken(journal) == ["pager 1"]
    assert await journal.outbox(NOW + RETRIED_AT - TICK) == []
    assert await taken(journal, 1) == ["pager 1"]


async def test_what_was_delivered_is_delivered_no_more(journal: Journal) -> None:
    await tells(journal, *to("pager", why="1"))
    (letter,) = await journal.outbox(NOW)
    await journal.delivered(letter.id, NOW, None, None)
    assert await journal.outbox(at(999)) == []
    assert (await journal.counts())["messages"] == {"waiting": 0}


async def test_a_failed_delivery_is_tried_again_then_and_counted(journal: Journal) -> None:
    await tells(journal, *to("pager", why="1"))
    (letter,) = await journal.outbox(NOW)
    await journal.delivered(letter.id, NOW, "503", at(7))
    assert await journal.outbox(at(7) - TICK) == []
    (again,) = await journal.outbox(at(7))
    assert (again.id, again.tries) == (letter.id, 1)


async def test_a_later_letter_of_a_thread_waits_for_the_earlier(journal: Journal) -> None:
    await tells(journal, *to("pager", why="1"), *to("chat", why="1"))
    await tells(journal, *to("pager", why="2"), *to("chat", why="2"))
    assert sorted(await taken(journal)) == ["chat 1", "pager 1"]
    for letter in await journal.outbox(at(1)):
        failed = "503" if letter.receiver == "pager" else None
        await journal.delivered(letter.id, at(1), failed, at(60) if failed else None)
    assert await taken(journal, 2) == ["chat 2"]


async def test_a_letter_that_was_given_up_keeps_nobody_waiting(journal: Journal) -> None:
    await tells(journal, *to("pager", why="1"))
    await tells(journal, *to("pager", why="2"))
    (letter,) = await journal.outbox(NOW)
    await journal.delivered(letter.id, NOW, "410", None)
    assert await taken(journal, 1) == ["pager 2"]


async def test_letters_about_something_else_do_not_wait(journal: Journal) -> None:
    await tells(journal, *to("pager", why="1"), about="web")
    await journal.escalated((await claimed(journal)).remediation.id, (), None, NOW)
    await tells(journal, *to("pager", why="2"), about="db")
    assert sorted(await taken(journal)) == ["pager 1", "pager 2"]


async def test_a_thread_goes_on_with_what_the_receiver_returned_last(journal: Journal) -> None:
    for number in range(4):
        await tells(journal, *to("chat", "pager", why=str(number)))
    refs = []
    for ref in ("ts-1", "", "ts-3", ""):
        chat, pager = sorted(await journal.outbox(at(1)), key=lambda letter: letter.receiver)
        refs.append((chat.ref, pager.ref))
        await journal.delivered(chat.id, at(1), None, None, ref=ref)
        await journal.delivered(pager.id, at(1), None, None)
    assert refs == [("", ""), ("ts-1", ""), ("ts-1", ""), ("ts-3", "")]


async def test_each_receiver_takes_its_own_and_the_rest_is_for_nobody(journal: Journal) -> None:
    await tells(journal, *to("chat", "pager", "removed", why="1"))
    assert await taken(journal, 0, "chat") == ["chat 1"]
    rest = await journal.outbox(NOW, but_not=("chat", "pager"))
    assert [letter.receiver for letter in rest] == ["removed"]
    assert await taken(journal, 0, "pager") == ["pager 1"]


async def test_how_long_the_oldest_letter_waits_is_known_until_it_is_done(
    journal: Journal,
) -> None:
    assert await journal.oldest_message() is None
    await tells(journal, *to("pager", why="1"))
    (letter,) = await journal.outbox(NOW)
    await journal.delivered(letter.id, at(5), "503", at(9))
    assert await journal.oldest_message() == NOW
    assert (await journal.counts())["messages"] == {"waiting": 1}
    await journal.delivered(letter.id, at(9), "503", None)
    assert await journal.oldest_message() is None
    assert (await journal.counts())["messages"] == {"waiting": 0}


async def test_a_letter_that_is_due_is_what_is_next(journal: Journal) -> None:
    ident = await tells(journal, *to("pager", why="1"))
    claim = await claimed(journal)
    await journal.write(claim.remediation, end(Event.OBSERVE), lambda _written: ())
    assert claim.remediation.id == ident
    assert await journal.next_due() == NOW
    (letter,) = await journal.outbox(NOW)
    await journal.delivered(letter.id, NOW, "503", at(7))
    assert await journal.next_due() == at(7)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=5),
    st.lists(st.sampled_from(["taken", "failed", "lost", "given up"]), max_size=9),
)
def test_every_letter_is_delivered_or_given_up_in_its_order(
    receivers: list[str], fates: list[str]
) -> None:
    async def delivered() -> dict[str, list[int]]:
        journal = await opened()
        for number, receiver in enumerate(receivers):
            await tells(journal, *to(receiver, why=str(number)))
        done: dict[str, list[int]] = {"a": [], "b": []}
        left, minute = list(fates), 0
        while (await journal.counts())["messages"]["waiting"]:
            minute += 1
            for letter in await journal.outbox(at(minute)):
                fate = left.pop() if left else "taken"
                if fate == "lost":  # who took it died
                    continue
                again = at(minute + 1) if fate == "failed" else None
                error = None if fate == "taken" else fate
                await journal.delivered(letter.id, at(minute), error, again)
                if fate != "failed":
                    done[letter.receiver].append(int(letter.notice.why))
        return done

    done = asyncio.run(delivered())
    for receiver, numbers in done.items():
        assert numbers == [n for n, other in enumerate(receivers) if other == receiver]
