"""``caffelite demo``: a LeNet trained on real handwritten digits, from databases to pictures."""
