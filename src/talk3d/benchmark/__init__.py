"""Suites that hold systems against truth no recording has: seen from the side."""
