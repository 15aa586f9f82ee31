"""Files over HTTP: accepted at once, scored in the background, fetched when they are done."""
