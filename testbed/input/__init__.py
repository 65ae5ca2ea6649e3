"""What users write, taken in: data, classes, files; whatever is wrong with it is one line.

Rules: nothing that a user wrote is trusted, neither to be valid, nor to end, nor to raise only what it should. The line
names the file, the field and the allowed values, or the place in a user's code.

    validation   data to frozen models
    plugins      classes by `module:Class`, modules by file
    limits       an end for what might have none
"""
