"""MPTCP: a connection over several subflows (RFC 8684)."""
