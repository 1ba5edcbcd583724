"""The values that the engine decides about. Nothing here reads a clock, a file or a socket."""
