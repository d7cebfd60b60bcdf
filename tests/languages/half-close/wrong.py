"""half-close in Python, wrong: all is sent before anything is received."""
import socket
import sys

with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as server:
    server.sendall(sys.stdin.buffer.read())
    server.shutdown(socket.SHUT_WR)
    while data := server.recv(65536):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
