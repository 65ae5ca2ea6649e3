"""Experiments: one file each, or a package with what it needs beside it, found by name (`my_idea` is `my-idea`)."""
