"""Addresses that come and go, and the options that say so (RFC 8684 section 3.4)."""
