"""HTTP and WebSocket edge of the daemon: what people and programs see and may ask for."""
