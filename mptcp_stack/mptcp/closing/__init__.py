"""How a connection ends (RFC 8684 sections 3.3.3 and 3.5)."""
