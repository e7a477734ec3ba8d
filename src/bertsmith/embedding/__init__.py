"""Answers -> meaning: what vectors of sentences are good for: similar pairs, search, clusters, and their geometry."""
