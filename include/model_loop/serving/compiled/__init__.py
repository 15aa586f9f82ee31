"""Models as machine code: flat arrays, what makes them, and what answers from them."""
