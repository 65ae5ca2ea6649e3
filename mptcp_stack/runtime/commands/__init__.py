"""The command line: `python -m mptcp_stack`."""
