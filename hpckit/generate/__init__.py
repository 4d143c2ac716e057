"""Reproducible logs and tables to try things on: what they contain (catalogues) and how ranks write them together."""
