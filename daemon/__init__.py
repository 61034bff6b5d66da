"""The taped daemon: the process that tapes and trades."""
