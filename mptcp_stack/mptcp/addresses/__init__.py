"""Addresses that come and go, and the options that say so (RFC 8684 section 3.4).

Rules:

1. An address ID stands for one address and port until it is taken back; 0 is where the connection began.
2. One announcement is under way at a time, until its echo; a removal overtakes the announcements it makes pointless.
3. Which addresses to announce and where to join is for the path manager: here is only how.

How it works. ``Announcements`` keeps what both sides have announced. ``Signals`` has the options other than DSS: they
go out on segments without payload, on any subflow that can say them, and what the peer's bring about begins there.
``mobility`` withdraws an address that has gone, with its subflows, as soon as another subflow can say so.
"""
