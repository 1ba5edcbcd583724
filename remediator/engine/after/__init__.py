"""What follows an act: verification, undo, what is put back in time, and alerts that fire on."""
