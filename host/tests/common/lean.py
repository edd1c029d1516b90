#!/usr/bin/env python3
"""The least of a runtime client: it answers with its event and its process id."""
import os, socket

host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
sock = socket.create_connection((host, int(port)))
sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
BASE = "/2018-06-01/runtime/invocation/"
buffered = b""


def answer():
    global buffered
    while b"\r\n\r\n" not in buffered:
        buffered += sock.recv(65536) or os._exit(1)
    head, buffered = buffered.split(b"\r\n\r\n", 1)
    headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    length = int(headers[b"content-length"])
    while len(buffered) < length:
        buffered += sock.recv(65536) or os._exit(1)
    body, buffered = buffered[:length], buffered[length:]
    return headers, body


while True:
    sock.sendall(f"GET {BASE}next HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    headers, body = answer()
    id = headers[b"lambda-runtime-aws-request-id"].decode()
    reply = b'{"event": %b, "pid": %d}' % (body, os.getpid())
    sock.sendall(f"POST {BASE}{id}/response HTTP/1.1\r\nHost: h\r\nContent-Length: {len(reply)}\r\n\r\n".encode() + reply)
    answer()
