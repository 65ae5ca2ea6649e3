"""One TCP connection as a part of an MPTCP connection (RFC 8684 section 3.3)."""
