"""graceful-stop in Python, wrong: no new client is accepted, and the connected ones are cut."""
import os
import signal
import socket
import sys
import threading


def echo(client):
    with client:
        while data := client.recv(4096):
            client.sendall(data)


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
    while True:
        client, _ = listener.accept()
        threading.Thread(target=echo, args=(client,), daemon=True).start()
