"""After an attempt: verification, undo, restoring, and alerts that keep firing."""
