"""Files in, numbers out: picture, lips, geometry and the report page."""
