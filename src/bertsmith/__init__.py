"""A workshop for BERT encoders."""
