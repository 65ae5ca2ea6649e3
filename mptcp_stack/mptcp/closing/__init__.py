"""How a connection ends (RFC 8684 sections 3.3.3 and 3.5).

Rules:

1. The streams end first, each by its DATA_FIN; then the subflows are closed; then the connection is forgotten.
2. The application is told once, after it has read what came before an orderly end.
3. ``closed`` is set before the subflows go: nothing that they report then has any effect.
4. Without a subflow a connection waits for one (``close_timeout_ns``), unless all that it had were refused for good.

How it works. ``Closing`` is asked whenever a stream may have ended (``check_data``) and when a subflow is gone
(``subflow_closed``). ``send_abort`` resets all subflows, or leaves a ``FastCloseWait`` that says MP_FASTCLOSE on ACKs.
"""
