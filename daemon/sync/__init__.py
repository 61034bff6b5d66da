"""The sync: what the journal holds, shipped to PostgreSQL or TimescaleDB."""
