"""graceful-stop in Python: a thread for each client, and one that waits for signals."""
import os
import signal
import socket
import sys
import threading
import time

GRACE = 2
SIGNALS = {signal.SIGTERM}
clients = []


def echo(client):
    with client:
        while data := client.recv(4096):
            client.sendall(data)


def accept(listener):
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        clients.append(threading.Thread(target=echo, args=(client,), daemon=True))
        clients[-1].start()


signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # each thread inherits it
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
threading.Thread(target=accept, args=(server,), daemon=True).start()
signal.sigwait(SIGNALS)
server.shutdown(socket.SHUT_RDWR)  # the thread that waits in accept keeps it open otherwise
end = time.monotonic() + GRACE
while any(client.is_alive() for client in clients) and time.monotonic() < end:
    if signal.sigtimedwait(SIGNALS, 0.01):
        break
os._exit(0)
