"""Market data: parsers of what venues and vendors write, and the feeds that publish it as events."""
