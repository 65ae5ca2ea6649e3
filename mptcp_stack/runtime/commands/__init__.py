"""The command line: `python -m mptcp_stack`.

What is wrong in the user's words is one line and exit code 2, what is wrong with the network one line and exit code 1.
`cli` has the commands, each a small program over the asyncio face; `path_control` is the Unix socket by which a running
one takes orders for its paths, at both of its ends.
"""
