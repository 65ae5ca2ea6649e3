"""The hosts of a lab and what they live in: namespaces, programs, kernel settings, addresses and routes."""
