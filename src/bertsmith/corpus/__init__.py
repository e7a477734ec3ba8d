"""Tokens to instances: sources of documents, sentences, shards on disk, sentence pairs and masking."""
