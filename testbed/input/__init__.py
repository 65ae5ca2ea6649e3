"""What users write, taken in: data validated, classes and files loaded; whatever is wrong with it is one line."""
