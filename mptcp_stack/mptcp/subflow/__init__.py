"""One TCP connection as a part of an MPTCP connection (RFC 8684 section 3.3).

Rules:

1. A ``Subflow`` is the upper layer of one TCP endpoint and lives as long as that; the connection drops it first, when
   the endpoint is CLOSED or in TIME-WAIT.
2. Payload that TCP has acknowledged is not refused any more: it is handed on, lost to this subflow (the peer has it
   until a DATA_ACK), or the subflow is reset.
3. A subflow is reset alone; what ends the connection is decided above (``SubflowOwner.fail``, ``subflow_closed``).

How it works. TCP calls ``Subflow`` for options out and for every acceptable segment in. ``Inbound`` turns its payload
to bytes of the stream; with checksums it is ``Checked``, whose ``ChecksumQueue`` holds what is not verified.
``Fallback``, one for the connection, says what to do when options are missing or wrong: go on as TCP where nothing is
lost by that, or reset. ``Persist`` asks for a window that stays shut. ``tracepoints`` tell the stack's observer.
"""
