"""Sorting across ranks: order-preserving words, splitters, and sorts of numbers and of rows in memory and out of core."""
