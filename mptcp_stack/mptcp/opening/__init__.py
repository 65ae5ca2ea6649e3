"""How a connection begins: listeners, and the handshakes of its subflows (RFC 8684 sections 3.1 and 3.2)."""
