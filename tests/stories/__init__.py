"""What people do, from the first command to the last page, with real processes and a real browser."""
