"""Runs of experiments: points measured, results kept with where they are from, stale ones told from current ones."""
