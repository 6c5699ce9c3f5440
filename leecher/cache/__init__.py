"""Images of earlier boots on this machine: what of a new one they have is copied, and the new one is kept in turn."""
