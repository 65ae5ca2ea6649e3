"""MPTCP: one stream in each direction over several TCP connections, its subflows (RFC 8684).

Rules:

1. The connection owns the stream, a subflow owns its sequence numbers. What is written is held by ``Sending`` until a
   DATA_ACK has come for it; a subflow only has copies on their way. After a fallback TCP's acknowledgement is that.
2. A position in the stream counts from 0 at its first byte. ``Key`` makes the data sequence number of it, which is for
   the wire and for who looks on.
3. Nothing is sent in a call of the application's: it wakes the connection, and the stack's next ``transmit`` asks that
   for its ``output``.
4. A part of a connection sees it by the class in its room's ``owner.py``, which says what it asks; each room adds to
   the one below, and ``Connection`` is all of them.
5. Imports go down, those for types too: connection, path_manager, addresses, closing, sending, scheduler, subflow,
   opening, control_block, services.
6. What a peer says is believed when a key, a checksum or a window vouches for it, counted and dropped otherwise.

How it works. Bytes go down:

    Connection.send         into the send queue, as views
    Sending.output          a burst of them, the scheduler's subflow, a mapping of their place in the stream
    Endpoint.transmit       TCP: a record until it is acknowledged, and a segment
    Subflow.add_options     DATA_ACK and mapping, as the DSS option of that segment

and up:

    Subflow.on_segment      what the options say, before the payload is looked at
    Subflow.on_data         payload in the order of the subflow
    Inbound.receive         to where its mapping says it belongs; ``Checked`` keeps it until a checksum is right
    Receiving.insert        in the order of the stream, until the application reads

The end, in this order: both streams (DATA_FIN and its DATA_ACK), then the subflows (FIN, by the side that ended its
stream first), each of which leaves TIME-WAIT in the stack, then the connection, and ``Closed`` is told. An abort, or
the loss of the last subflow for too long, takes all of them at once; what is left then is a FASTCLOSE-WAIT at most.
"""
