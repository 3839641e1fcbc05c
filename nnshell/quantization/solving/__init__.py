"""Which record every tensor gets."""
