"""Echo with a process for each connection, as Python's standard library offers it.

Its two limits are raised to those that the other servers are given: five waiting connections and
forty children would measure the limits.
"""

import socketserver
import sys


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(64 * 1024):
            self.request.sendall(data)


class Server(socketserver.ForkingTCPServer):
    allow_reuse_address = True


if "defaults" not in sys.argv:
    Server.request_queue_size = 1024
    Server.max_children = 200

with Server(("127.0.0.1", 0), Echo) as server:
    print("listening on 127.0.0.1:%d" % server.server_address[1], flush=True)
    server.serve_forever()
