"""Files -> answers, for callers that ask again and again: everything is opened once."""
