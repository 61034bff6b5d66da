"""Venues: where orders go and market data comes from."""
