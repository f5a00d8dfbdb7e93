"""Everything that must hold, and what it needs to run."""
