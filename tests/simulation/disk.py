"""The disk under the journal: what nobody waited for is lost when the machine loses power."""

import sqlalchemy as sa


class Disk:
    """What is surely on it. The database itself shows what was written, waited for or not."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._sure: bytes | None = None  # None: all of it

    def hastes(self) -> None:
        """Something is about to be written that nobody waits for."""
        if self._sure is None:
            with self._engine.connect() as c:
                self._sure = c.connection.driver_connection.serialize()  # type: ignore[union-attr]

    def waited(self) -> None:
        """A transaction was waited for, which brings along all before it."""
        self._sure = None

    def lose(self) -> bool:
        """The power goes. True if anything is lost."""
        lost, self._sure = self._sure, None
        if lost is not None:
            with self._engine.connect() as c:
                c.connection.driver_connection.deserialize(lost)  # type: ignore[union-attr]
        return lost is not None
