"""How a connection begins: listeners, and the handshakes of subflows (RFC 8684 sections 3.1 and 3.2).

Rules:

1. Who only sends a SYN costs a few numbers (``HalfOpen``), or nothing at all (``SynCookies``): a connection is made by
   the third ACK.
2. A handshake says what a subflow's first segments carry and judges what it hears; it keeps no state of the subflow.

How it works. We connect: ``Connection.connect`` makes the subflow with an ``ActiveInitial``, or a ``Plain``. A peer
connects: ``Listener`` answers the SYN by itself, and with the third ACK, or the first data, ``Connection.accept`` goes
on as if a subflow with a ``PassiveInitial`` had answered. MP_JOIN finds its connection by the token, without a
listener: ``ActiveJoin`` and ``PassiveJoin``. A handshake ends in ``begin`` or ``fall_back`` of the control block.
"""
