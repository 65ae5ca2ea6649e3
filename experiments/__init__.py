"""Experiments: one file each, found by its name (`my_idea.py` is the experiment `my-idea`)."""
