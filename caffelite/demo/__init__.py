"""``caffelite demo``: a LeNet trained on real handwritten digits, from making the database to pictures of the result."""
