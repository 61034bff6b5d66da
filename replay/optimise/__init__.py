"""Searches for parameters: many backtests of one strategy, on all cores or a cluster, kept in a file."""
