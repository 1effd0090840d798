"""Marks, consent and erasure: what keeps an avatar honest."""
