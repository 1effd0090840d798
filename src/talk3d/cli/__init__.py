"""Command line: verbs to functions. The only package that prints."""
