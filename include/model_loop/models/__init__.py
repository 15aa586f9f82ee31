"""Model families: what can be tuned, how it is searched, trained and evaluated."""
