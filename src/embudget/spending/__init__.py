"""One budget for the search and the final run: what to measure next, and when to stop measuring and train."""
