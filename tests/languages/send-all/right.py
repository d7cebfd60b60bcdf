"""send-all in Python: a socket that does not block, and poll."""
import select
import socket
import sys


def wait(client, events):
    poll = select.poll()
    poll.register(client, events)
    poll.poll()


def echo(client):
    while True:
        wait(client, select.POLLIN)
        rest = memoryview(client.recv(4096))
        if not rest:
            return
        while rest:
            try:
                rest = rest[client.send(rest):]
            except BlockingIOError:
                wait(client, select.POLLOUT)


with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
    while True:
        client, _ = listener.accept()
        with client:
            client.setblocking(False)
            try:
                echo(client)
            except OSError as why:
                print(why, file=sys.stderr)
