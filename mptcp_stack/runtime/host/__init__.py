"""The host's side of a stack: its TUN device, and the kernel as its router."""
