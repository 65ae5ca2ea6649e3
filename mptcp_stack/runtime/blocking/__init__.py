"""The blocking face: sockets with real descriptors, and the thread that serves them."""
