"""One file, one middlebox: the file `strip_option.py` is the middlebox `strip-option`."""
