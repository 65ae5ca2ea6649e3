"""`python -m mptcp_stack`: see `mptcp_stack.runtime.cli`."""

from mptcp_stack.runtime.cli import main

main()
