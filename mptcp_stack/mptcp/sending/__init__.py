"""The sending half of a connection: which bytes go to which subflow, and when.

Rules:

1. Bytes leave the send queue by a DATA_ACK alone (or TCP's acknowledgement, once the connection is TCP).
2. New data go once, to the subflow that the scheduler chooses; again they go by reinjection: from a subflow that does
   not answer, one that is gone, one that holds up the others, or when the DATA_ACK stays out.
3. The peer's window is the connection's: ``_edge`` never moves back, whichever subflow heard of it.

How it works. ``Sending.output``, once a ``transmit``: retransmissions of every subflow, reinjections, new data, the
DATA_FIN; then it watches windows that keep data waiting. ``HeadOfLineBlocking`` acts when the window is full,
``DataTimer`` when TCP has delivered and no DATA_ACK comes, ``SmallWrites`` says whether a last, partial segment waits,
``SendBuffer`` how far ahead the application may write.
"""
