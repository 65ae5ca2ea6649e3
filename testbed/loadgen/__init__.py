"""Load generators: the same asyncio code over every stack; only event loop or command prefix differ.

``python -m testbed.loadgen.server``  HTTP server with ``/bytes/<n>``
``python -m testbed.loadgen.client``  closed loop of HTTP requests in the manner of ApacheBench
``python -m testbed.loadgen.bulk``    one long transfer in either direction, server and client

Programs write their result as JSON on standard output and their progress as JSON lines on standard error.
"""
