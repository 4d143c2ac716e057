"""Sorting across ranks: order-preserving words, splitters, sorts of numbers and of rows, in memory and out of core."""
