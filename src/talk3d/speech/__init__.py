"""What the mouth does, heard: a network that knows speech before it knows a person."""
