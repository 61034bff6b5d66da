"""The read model: projections of the journal into SQLite, and the questions asked of it."""
