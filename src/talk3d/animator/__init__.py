"""Audio to motion: the audio-guided attention U-Net over tri-planes."""
