"""What the platform does when the disk does not: every write of its own fails once, in every way a disk can fail."""
