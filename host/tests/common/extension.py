#!/usr/bin/env python3
"""An external extension on the standard library alone.

EXTENSION_SEEN names the file it tells what it saw, EXTENSION_<NAME> (a JSON object) says what to do.
"""
import http.client, http.server, json, os, socketserver, sys, threading, time

API = os.environ["AWS_LAMBDA_RUNTIME_API"]
NAME = os.path.basename(sys.argv[0])
WHAT = json.loads(os.environ.get("EXTENSION_" + NAME.upper(), "{}"))


def seen(what, **more):
    with open(os.environ["EXTENSION_SEEN"], "a") as file:
        file.write(json.dumps({"who": NAME, "what": what, "at": time.time(), **more}) + "\n")


def call(method, path, body=None, headers={}):
    connection = http.client.HTTPConnection(API)
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    return answer, json.loads(answer.read() or "null")


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    posts = 0

    def do_POST(self):
        Receiver.posts += 1
        body = self.rfile.read(int(self.headers["Content-Length"]))
        events = json.loads(body)
        if Receiver.posts == 1:
            time.sleep(WHAT.get("first post takes", 0))
        # Before the answer: after the last one we are told to end, and may be gone before this thread gets on.
        seen("telemetry", events=events, bytes=len(body), host=self.headers["Host"])
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Lines(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            seen("telemetry", events=[json.loads(line)])


def subscribe(api, subscription, headers):
    protocol = subscription.pop("protocol", "HTTP")
    if protocol == "HTTP":
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        destination = {"protocol": "HTTP", "URI": f"http://sandbox.localdomain:{server.server_port}/"}
    else:
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Lines)
        destination = {"protocol": "TCP", "port": server.server_address[1]}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    answer, body = call("PUT", api, {"destination": destination, **subscription}, headers)
    seen("subscribed", status=answer.status, body=body)
    return {"destination": destination, **subscription}


if WHAT.get("do") == "exit before registering":
    sys.exit(3)
events = WHAT.get("events", ["INVOKE", "SHUTDOWN"])
features = {"Lambda-Extension-Accept-Feature": "accountId"} if WHAT.get("account") else {}
answer, body = call(
    "POST", "/2020-01-01/extension/register", {"events": events}, {"Lambda-Extension-Name": NAME, **features}
)
me = {"Lambda-Extension-Identifier": answer.headers["Lambda-Extension-Identifier"]}
seen("registered", status=answer.status, body=body, env=dict(os.environ), path=sys.argv[0])
if WHAT.get("do") == "init error":
    error = {"Lambda-Extension-Function-Error-Type": "Extension.NoKey", **me}
    seen("init error", missing=call("POST", "/2020-01-01/extension/init/error", {}, me)[1]["errorType"])
    call("POST", "/2020-01-01/extension/init/error", {}, error)
    sys.exit(1)
api = WHAT.get("api", "/2022-07-01/telemetry")
subscription = subscribe(api, WHAT["telemetry"], me) if "telemetry" in WHAT else None

time.sleep(WHAT.get("init takes", 0))
while True:
    answer, event = call("GET", "/2020-01-01/extension/event/next", None, me)
    seen("event", event=event, id=answer.headers["Lambda-Extension-Event-Identifier"])
    if event["eventType"] == "SHUTDOWN":
        if WHAT.get("do") == "stay":
            time.sleep(600)
        time.sleep(WHAT.get("shutdown takes", 0))
        sys.exit(0)
    if subscription:
        answer, body = call("PUT", api, subscription, me)
        seen("too late", status=answer.status, body=body)
    print(f"{NAME} was told of {event['requestId']}", flush=True)
    time.sleep(WHAT.get("invoke takes", 0))
    if WHAT.get("do") == "exit on invoke":
        sys.exit(4)
    if WHAT.get("do") == "exit error":
        call("POST", "/2020-01-01/extension/exit/error", {}, {"Lambda-Extension-Function-Error-Type": "E.Gone", **me})
        time.sleep(600)
