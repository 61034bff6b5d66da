"""What lies on disk and on the wire: events, codec, frames, SQL. Pure; no input or output."""
