"""Echo of datagrams, one by one, as Python's standard library offers it."""

import socketserver


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        data, connection = self.request
        connection.sendto(data, self.client_address)


class Server(socketserver.UDPServer):
    max_packet_size = 65535


with Server(("127.0.0.1", 0), Echo) as server:
    print("listening on 127.0.0.1:%d" % server.server_address[1], flush=True)
    server.serve_forever()
