"""Video in, subject out: landmarks, camera, matte, crop, capture report."""
