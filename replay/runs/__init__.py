"""The catalogue of runs: what was run, over which data, by which code, and what it came to; runs again."""
