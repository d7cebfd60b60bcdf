"""send-all in Python, wrong: `send` takes what there is room for, and its count is lost."""
import socket
import sys

with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
    while True:
        client, _ = listener.accept()
        with client:
            try:
                while data := client.recv(65536):
                    try:
                        client.send(data, socket.MSG_DONTWAIT)
                    except BlockingIOError:
                        pass
            except OSError as why:
                print(why, file=sys.stderr)
