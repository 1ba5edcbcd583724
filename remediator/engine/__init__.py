"""The engine: everything that happens, in order; it reaches the world only through ports."""
