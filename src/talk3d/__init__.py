"""talk3d: one short video of a person in, a 3D talking avatar out."""

__version__ = "0.1.0"
