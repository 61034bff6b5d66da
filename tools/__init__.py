"""The `taped` command and what operators need around the daemon."""
