"""The journal: every event in one checksummed sequence of segment files."""
