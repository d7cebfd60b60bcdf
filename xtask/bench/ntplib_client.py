"""Prints the offset of the server that it is told, in seconds: ntplib."""
import sys

import ntplib

host, port = sys.argv[1].split(":")
print(f"{ntplib.NTPClient().request(host, port=int(port), version=4).offset:.9f}")
