"""Load generators: the same asyncio code over every stack; only event loop or command prefix differ.

``python -m testbed.loadgen.server``    HTTP server with ``/bytes/<n>``
``python -m testbed.loadgen.client``    closed or open loop of HTTP requests in the manner of ApacheBench
``python -m testbed.loadgen.bulk``      one long transfer in either direction, server and client
``python -m testbed.loadgen.exchange``  both ends send at once, in rounds
``python -m testbed.loadgen.frames``    frames as applications in real time send them
``python -m testbed.loadgen.setup``     connections set up while others are open
``python -m testbed.loadgen.flood``     a SYN flood
``python -m testbed.loadgen.proxy``     the proxy from MPTCP to TCP

Rules: programs write their result as JSON on standard output and their progress as JSON lines on standard error; a
server says that it listens, and ends at SIGTERM. They know nothing of the lab, only addresses. Their bytes are known to
both ends (``content``). ``apache`` and ``curl`` read what the real programs print, under the same keys.

A new load is a program here; a function that starts and judges it, as those of ``testbed.stacks.measure``, whose kind
is among ``FEATURES`` of ``testbed.stacks.base`` where not every stack can carry it; a line in docs/loadgen.md, and its
results in docs/results.md.
"""
