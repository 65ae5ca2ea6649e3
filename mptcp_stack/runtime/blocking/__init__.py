"""The blocking face: sockets with real descriptors, and the thread that serves them.

Rules:

1. A socket is one end of a pair of Unix sockets; data, waiting, timeouts and `select` are the kernel's work on it.
2. The network's thread alone touches the stack. Applications' threads ask it with `NetworkThread.call` and wait; it
   never waits for them.
3. Without asking, an application's thread reads attributes of its `NetworkSide` and takes from its `arrivals`; no more.

How it works. `SocketNetwork` starts a `NetworkThread`, which runs an asyncio `EventLoop`. `Socket.send` writes to its
end of the pair; the `NetworkSide` at the other end, the handler of the connection, reads as much as the connection
takes, and writes there what arrives. Opening, options and names are calls. A pair filled up makes a socket unwritable
until it is connected; a byte in a listener's pair is a connection to accept.

The descriptor dies first. The thread hears of it (EPOLLHUP), however it was closed: by `close`, by the collector, by
the end of a process that had a copy. Then the side lets the connection deliver what was written, or resets it, and
goes. After a fork the child's copies read and write through the parent's thread, and nothing else.
"""
