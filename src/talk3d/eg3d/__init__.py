"""The 3D generative prior: an EG3D generator and its training."""
