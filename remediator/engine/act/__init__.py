"""The only code that writes to a cluster: begin, send, and go on after an interruption."""
