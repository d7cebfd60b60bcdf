"""first-echo in Python, wrong: one recv is taken for all that a client sends."""
import socket
import sys

with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
    while True:
        client, _ = listener.accept()
        with client:
            client.sendall(client.recv(4096))
