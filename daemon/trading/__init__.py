"""The pure core: events in, events out; no clock, no input or output, no randomness."""
