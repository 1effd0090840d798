"""A network that judges whether lips go with a sound; never a loss."""
