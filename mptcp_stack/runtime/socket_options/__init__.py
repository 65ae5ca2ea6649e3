"""Socket options, the same for blocking sockets and for asyncio's transports.

Rules:

1. Every socket, transport and listener has one `SocketOptions`, used in the stack's thread alone.
2. What is set before a connection is opened is for its opening; on a listener, for what it accepts; on a connection,
   for all its subflows (RFC 6897 section 5.4).

How it works. `OPTIONS` says for every (level, number) how it is read and written. What is a setting of the stack goes
into a stack with these settings (`Stack.customised`), from which connections are opened and which may be exchanged
under one that is there.
"""
