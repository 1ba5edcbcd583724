"""Acting: the only code that writes to a cluster, and that continues after an interruption."""
