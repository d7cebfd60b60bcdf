"""The same service with Python's asyncio."""
import asyncio
import resource
import sys


async def echo(reader, writer):
    try:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()


BACKLOG = {} if "defaults" in sys.argv else {"backlog": 1024}


async def main():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    server = await asyncio.start_server(echo, "127.0.0.1", 0, **BACKLOG)
    host, port = server.sockets[0].getsockname()
    print(f"listening on {host}:{port}", flush=True)
    await server.serve_forever()


asyncio.run(main())
