"""`python -m mptcp_stack`: see `mptcp_stack.runtime.commands.cli`."""

from mptcp_stack.runtime.commands.cli import main

main()
