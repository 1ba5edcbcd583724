"""One alert goes through the engine's rooms once, in order.

The page that shows it is what is recorded here.
"""

from itertools import chain, groupby
from pathlib import Path

from tests.integration.walk import page, walk

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "walk.md"


async def test_each_room_is_entered_once_in_order() -> None:
    visits = await walk()
    modules = list(chain.from_iterable(visits))
    rooms = [room for room, _ in groupby(module.split("/")[0] for module in modules)]
    assert rooms == ["web", "arrive", "decide", "act", "after", "tell"]
    assert PAGE.read_text() == page(visits), "write it again: make docs"
