"""Runs the daemon's own core over a recorded journal."""
