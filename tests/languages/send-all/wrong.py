"""send-all in Python, wrong: with a timeout `send` waits for some room, and its count is lost."""
import socket
import sys

with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
    while True:
        client, _ = listener.accept()
        with client:
            client.settimeout(60)
            try:
                while data := client.recv(4096):
                    client.send(data)
            except OSError as why:
                print(why, file=sys.stderr)
