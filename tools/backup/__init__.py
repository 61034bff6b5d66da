"""Backups of a data folder: made while a daemon runs, proven by a restore, kept by age; see README.md."""
