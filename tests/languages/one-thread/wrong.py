"""one-thread in Python, wrong: select says who has sent, and sendall waits for who does not read."""
import select
import socket
import sys

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=64)
clients = []
while True:
    for ready in select.select([listener, *clients], [], [])[0]:
        if ready is listener:
            clients.append(listener.accept()[0])
        elif data := ready.recv(16384):
            ready.sendall(data)
        else:
            clients.remove(ready)
            ready.close()
