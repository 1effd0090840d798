"""Synthetic people with exact labels: training corpus and ground truth."""
