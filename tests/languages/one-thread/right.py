"""one-thread in Python: selectors for all clients, EVENT_WRITE for those with bytes left."""
import selectors
import socket
import sys

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


def serve(client, unsent):
    """Receives once and sends that, or sends what was left: what is left now, None at the end."""
    try:
        if not unsent:
            unsent = client.recv(16384)
            if not unsent:
                return None
        return unsent[client.send(unsent):]
    except BlockingIOError:
        return unsent
    except OSError:
        return None


selector = selectors.DefaultSelector()
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=64)
listener.setblocking(False)
selector.register(listener, READ)
while True:
    for key, _ in selector.select():
        if key.fileobj is listener:
            client, _ = listener.accept()
            client.setblocking(False)
            selector.register(client, READ, b"")
            continue
        unsent = serve(key.fileobj, key.data)
        if unsent is None:
            selector.unregister(key.fileobj)
            key.fileobj.close()
        else:
            selector.modify(key.fileobj, WRITE if unsent else READ, unsent)
