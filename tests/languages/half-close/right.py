"""half-close in Python: a thread for each direction."""
import os
import socket
import sys
import threading


def send(server):
    while data := os.read(0, 65536):
        server.sendall(data)
    server.shutdown(socket.SHUT_WR)


with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as server:
    threading.Thread(target=send, args=(server,), daemon=True).start()
    while data := server.recv(65536):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
