#!/usr/bin/env python3
"""A runtime client on the standard library alone. The event says what to do."""
import base64, http.client, json, os, signal, socket, subprocess, sys, time

API = os.environ["AWS_LAMBDA_RUNTIME_API"]
BASE = "/2018-06-01/runtime"
connection = http.client.HTTPConnection(API)


def call(method, path, body=None, headers={}):
    connection.request(method, BASE + path, body, headers)
    answer = connection.getresponse()
    return answer, answer.read()


def raw(request):
    """One request on a connection of its own, byte for byte; the status of the answer."""
    with socket.create_connection(API.split(":")) as sock:
        sock.sendall(request)
        return int(sock.recv(65536).split()[1])


def chunked(id, body, trailers):
    head = f"POST {BASE}/invocation/{id}/response HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
    head += "Lambda-Runtime-Function-Response-Mode: streaming\r\nTrailer: Lambda-Runtime-Function-Error-Body\r\n\r\n"
    chunk = f"{len(body):x}\r\n{body}\r\n0\r\n"
    return raw((head + chunk + "".join(f"{k}: {v}\r\n" for k, v in trailers.items()) + "\r\n").encode())


if os.environ.get("FAIL_INIT"):
    call("POST", "/init/error", json.dumps({"errorType": "Runtime.Broken", "errorMessage": "no start"}))
    sys.exit(1)
if os.environ.get("EXIT_INIT"):
    sys.exit(int(os.environ["EXIT_INIT"]))
time.sleep(float(os.environ.get("SLOW_INIT", 0)))
if os.environ.get("ASK_AND_EXIT"):
    with socket.create_connection(API.split(":")) as sock:
        sock.sendall(f"GET {BASE}/invocation/next HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        time.sleep(0.3)
    sys.exit(int(os.environ["ASK_AND_EXIT"]))

count = 0
while True:
    answer, payload = call("GET", "/invocation/next")
    if answer.status != 200:
        sys.exit(1)
    count += 1
    id = answer.headers["Lambda-Runtime-Aws-Request-Id"]
    event = json.loads(payload)
    do = event.get("do") if isinstance(event, dict) else None
    reply, path, headers = payload, "response", {}
    if do == "context":
        told = {k.lower(): v for k, v in answer.headers.items()}
        now = time.time() * 1000
        reply = json.dumps({"headers": told, "env": dict(os.environ), "now": now, "pid": os.getpid(), "count": count})
    elif do == "ping":
        connection.request("GET", "/2018-06-01/ping")
        ping = connection.getresponse()
        body = ping.read()
        reply = json.dumps([ping.status, body.decode()])
    elif do == "size":
        reply = b'"' + b"x" * (event["bytes"] - 2) + b'"'
    elif do == "sleep":
        time.sleep(event["seconds"])
        reply = "null"
    elif do == "wait":
        while not os.path.exists(event["for"]):
            time.sleep(0.02)
        reply = "null"
    elif do == "print":
        print(event["line"], flush=True)
        reply = "null"
    elif do == "exit":
        sys.exit(event["code"])
    elif do == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif do == "error":
        path, headers = "error", {"Lambda-Runtime-Function-XRay-Error-Cause": "x" * event.get("cause", 0)}
        reply = json.dumps({"errorType": "Odd", "errorMessage": "as asked", "extra": 1})
    elif do == "error and exit":
        call("POST", f"/invocation/{id}/error", '{"errorType":"Panic","errorMessage":"posted first"}')
        sys.exit(1)
    elif do == "answer and exit":
        call("POST", f"/invocation/{id}/response", "1")
        sys.exit(1)
    elif do == "dawdle":
        call("POST", f"/invocation/{id}/response", "1")
        time.sleep(5)
        continue
    elif do == "post and die":
        body = b'"' + b"x" * (event["bytes"] - 2) + b'"'
        with socket.create_connection(API.split(":")) as sock:
            head = f"POST {BASE}/invocation/{id}/response HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n"
            sock.sendall(head.encode() + body[: event.get("part", len(body))])
            # By then a part of an answer is being read; a whole one is in the system's hands anyway.
            time.sleep(event.get("pause", 0))
            os.kill(os.getpid(), signal.SIGKILL)
    elif do == "family":
        # A grandchild that ignores SIGTERM and holds our output open.
        script = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", script])
        reply = json.dumps({"pids": [os.getpid(), child.pid]})
    elif do == "daemon":
        # In a session of its own, deaf to SIGTERM; and an orphan that ends soon.
        script = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
        child = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
        orphan = subprocess.check_output("sleep 5 >/dev/null & echo $!", shell=True)
        reply = json.dumps({"pids": [os.getpid(), child.pid], "orphan": int(orphan)})
    elif do == "wrong answers":
        stale = {"Lambda-Runtime-Invocation-Id": "an attempt before"}
        refusals = [
            call("POST", "/invocation/unknown/response", "1"),
            call("POST", f"/invocation/{id}/response", "1", stale),
            call("POST", "/init/error", "{}"),
        ]
        told = [[answer.status, answer.headers["Content-Type"], json.loads(body)] for answer, body in refusals]
        told.append(raw(f"GET {BASE}/invocation/next HTTP/1.1\r\nHost: h\r\n\r\n".encode()))
        mine = {"Lambda-Runtime-Invocation-Id": answer.headers["Lambda-Runtime-Invocation-Id"]}
        call("POST", f"/invocation/{id}/response", json.dumps(told), mine)
        assert call("POST", f"/invocation/{id}/response", "2")[0].status == 400
        continue
    elif do == "stream":
        assert chunked(id, '{"streamed":true}', {}) == 202
        continue
    elif do == "stream and fail":
        error = {"errorType": "Mid", "errorMessage": "stream" * event.get("times", 1)}
        body = base64.b64encode(json.dumps(error, separators=(",", ":")).encode()).decode()
        error = {"Lambda-Runtime-Function-Error-Type": "Mid", "Lambda-Runtime-Function-Error-Body": body}
        assert chunked(id, "half", error) == 202
        continue
    elif do == "stream parts":
        with socket.create_connection(API.split(":")) as sock:
            head = f"POST {BASE}/invocation/{id}/response HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
            head += "Content-Type: application/octet-stream\r\n"
            sock.sendall((head + "Lambda-Runtime-Function-Response-Mode: streaming\r\n\r\n").encode())
            part = b"x" * event["bytes"]
            for number in range(event["parts"]):
                if number:
                    time.sleep(event.get("pause", 0))
                sock.sendall(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            if event.get("exit"):
                sys.exit(5)
            if "print" in event:
                print(event["print"], flush=True)
            # Nothing is answered before the last part.
            sock.settimeout(0.2)
            try:
                assert not sock.recv(65536), "answered early"
            except TimeoutError:
                pass
            sock.settimeout(60)
            sock.sendall(b"0\r\n\r\n")
            assert int(sock.recv(65536).split()[1]) == 202
        continue
    elif do == "odd mode":
        mode = {"Lambda-Runtime-Function-Response-Mode": "buffered"}
        assert call("POST", f"/invocation/{id}/response", "1", mode)[0].status == 400
        continue
    elif do == "truncate":
        head = f"POST {BASE}/invocation/{id}/response HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf"
        with socket.create_connection(API.split(":")) as sock:
            sock.sendall(head.encode())
        continue
    call("POST", f"/invocation/{id}/{path}", reply, headers)
