"""The asyncio face: an event loop whose connections run over our stack.

Rules:

1. As asyncio has it: one thread, callbacks that do not block, the semantics of transports over the kernel's TCP.
2. What the kernel keeps (loopback, Unix sockets, `sock=...`, datagrams, pipes) is asyncio's own.
3. `connection_made` comes before the first data, `connection_lost` after the last, each once.

How it works. `EventLoop` resolves names and decides whose a connection is. An `_Attempt` handles it until it is
established, several in a race (RFC 8305); then a `StreamTransport` does, made in the same callback, as data may be in
the same batch of packets. A `Server` has listeners and makes a transport of what they accept. TLS is asyncio's, a
protocol on top of our transport.

A transport that is closed gives its connection back to the stack and is lost at once; the connection delivers what it
has and dies later. A server dies without its connections.
"""
