"""From a picture of a face to a prior's code, expression, gaze and camera."""
