"""What can be asked over HTTP, in the shapes that clients know."""
