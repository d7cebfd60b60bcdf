"""no-zombies in Python: a handler that waits for all children that have ended."""
import os
import signal
import socket
import sys


def reap(*_):
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return
        except ChildProcessError:
            return


signal.signal(signal.SIGCHLD, reap)
with socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=64) as listener:
    while True:
        client, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            while data := client.recv(4096):
                client.sendall(data)
            os._exit(0)
        client.close()
