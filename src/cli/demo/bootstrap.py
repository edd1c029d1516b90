"""A Lambda runtime in a dozen lines, for a machine without awslambdaric: what `provided` functions bring along."""

import json
import os
import urllib.request

from function import handler

api = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation"
while True:
    with urllib.request.urlopen(f"{api}/next") as invocation:
        request_id, event = invocation.headers["Lambda-Runtime-Aws-Request-Id"], json.load(invocation)
    reply = json.dumps(handler(event, None)).encode()
    urllib.request.urlopen(urllib.request.Request(f"{api}/{request_id}/response", data=reply)).close()
