"""Socket options, the same for blocking sockets and for asyncio's transports."""
