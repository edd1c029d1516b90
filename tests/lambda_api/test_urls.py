"""Function URLs, and the smaller settings of a function."""

import json
import re
import urllib.error
import urllib.parse
import urllib.request

import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from conftest import ACCOUNT, REGION, endpoint, make_zip, refused, unique

# What it was asked goes back as it came.
TELL = """import json, os
def handler(event, context):
    if event["rawPath"] == "/fail":
        raise ValueError("secret")
    event["known"], event["arn"] = context.aws_request_id, context.invoked_function_arn
    event["trace"] = os.environ["_X_AMZN_TRACE_ID"]
    cookies, headers = ["a=1", "b=2"], {"x-n": "7", "Access-Control-Allow-Origin": "https://functions.own"}
    return {"statusCode": 201, "headers": headers, "cookies": cookies, "body": json.dumps(event)}
"""


def visit(url, path="", method="GET", data=None, headers=None):
    """Visits a URL; where its name is not found, as in many a C library, the API's own address is where it leads."""
    host = urllib.parse.urlsplit(url).netloc
    request = urllib.request.Request(f"{endpoint()}/{path}", data, {**(headers or {}), "Host": host}, method=method)
    try:
        return urllib.request.urlopen(request)
    except urllib.error.HTTPError as answer:
        return answer


def test_url_is_served(lam, function):
    made = function(TELL)
    name = made["FunctionName"]
    cors = {"AllowOrigins": ["https://shop.example"], "AllowMethods": ["GET"], "MaxAge": 60}
    url = lam.create_function_url_config(FunctionName=name, AuthType="NONE", Cors=cors)["FunctionUrl"]
    answer = visit(url, "a%2Fb?x=1&x=2", "POST", b'{"n": 1}', {"Content-Type": "application/json", "Cookie": "c=3"})
    event = json.load(answer)
    assert answer.status == 201 and answer.headers["x-n"] == "7"
    assert answer.headers.get_all("set-cookie") == ["a=1", "b=2"]
    assert event["rawPath"] == "/a%2Fb" and event["rawQueryString"] == "x=1&x=2" and event["body"] == '{"n": 1}'
    assert event["cookies"] == ["c=3"] and event["headers"]["cookie"] == "c=3"
    assert event["queryStringParameters"] == {"x": "1,2"}
    context, id = event["requestContext"], url.removeprefix("http://").split(".")[0]
    assert context["apiId"] == id and context["domainName"] == f"{id}.lambda-url.{REGION}.localhost"
    assert context["accountId"] == "anonymous" and context["http"]["sourceIp"] == "127.0.0.1"
    assert event["arn"] == made["FunctionArn"]
    root = event["headers"]["x-amzn-trace-id"]
    assert re.fullmatch(rf"{root};Parent=[0-9a-f]{{16}};Sampled=0", event["trace"]) and root.startswith("Root=1-")
    assert answer.headers["x-amzn-trace-id"] == event["trace"]
    assert context["requestId"] == event["known"] == answer.headers["x-amzn-requestid"]
    # What the function says and what the URL says stand side by side.
    assert answer.headers.get_all("access-control-allow-origin") == ["https://functions.own"]
    shop = {"Origin": "https://shop.example", "Access-Control-Request-Method": "GET"}
    for headers, more in ({"Origin": "https://other.example"}, []), (shop, ["https://shop.example"]):
        origins = visit(url, headers=headers).headers.get_all("access-control-allow-origin")
        assert origins == ["https://functions.own", *more]
    preflight = visit(url, method="OPTIONS", headers=shop)
    assert preflight.status == 200 and preflight.headers["access-control-max-age"] == "60"
    # By the API's own address.
    other = json.load(urllib.request.urlopen(f"{endpoint()}/lambda-url/{id}/c?y=1"))
    assert other["rawPath"] == "/c" and other["headers"]["host"] == event["headers"]["host"]
    failed = visit(url, "fail")
    assert failed.status == 502 and failed.read() == b"Internal Server Error"
    lam.delete_function_url_config(FunctionName=name)
    gone = visit(url)
    assert gone.status == 403 and json.load(gone) == {"Message": None}


def test_url_of_an_alias_moves_with_it(lam, function):
    name = function("def handler(e, c): return 'one'", Publish=True)["FunctionName"]
    lam.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    url = lam.create_function_url_config(FunctionName=name, Qualifier="live", AuthType="NONE")["FunctionUrl"]
    assert visit(url).read() == b"one"
    lam.update_function_code(FunctionName=name, ZipFile=make_zip(app__py="def handler(e, c): return 'two'"))
    lam.get_waiter("function_updated_v2").wait(FunctionName=name)
    version = lam.publish_version(FunctionName=name)["Version"]
    assert visit(url).read() == b"one"
    lam.update_alias(FunctionName=name, Name="live", FunctionVersion=version)
    assert visit(url).read() == b"two"


def test_url_for_those_who_sign(lam, function):
    name = function(TELL)["FunctionName"]
    url = lam.create_function_url_config(FunctionName=name, AuthType="AWS_IAM")["FunctionUrl"]
    refusal = visit(url)
    assert refusal.status == 403 and json.load(refusal)["Message"].startswith("Forbidden. For troubleshooting")
    # Dots and empty segments are signed as if they were not there, and come to the function as they were sent.
    request = AWSRequest("POST", f"{url}a%20b//./c?x=1", {"Content-Type": "text/plain"}, b"hello")
    SigV4Auth(botocore.session.get_session().get_credentials(), "lambda", REGION).add_auth(request)
    answer = visit(url, "a%20b//./c?x=1", "POST", b"hello", dict(request.headers))
    assert answer.status == 201, answer.read()
    event = json.load(answer)
    assert event["rawPath"] == "/a%20b//./c"
    assert "authorization" not in event["headers"] and "x-amz-date" in event["headers"]
    context = event["requestContext"]
    assert context["accountId"] == ACCOUNT and context["authorizer"]["iam"]["accessKey"] == "test"
    assert visit(url, "other", "POST", b"hello", dict(request.headers)).status == 403


def test_url(lam, function):
    name = function()["FunctionName"]
    cors = {"AllowOrigins": ["*"], "AllowMethods": ["GET"], "MaxAge": 60}
    made = lam.create_function_url_config(FunctionName=name, AuthType="NONE", Cors=cors)
    port = endpoint().rpartition(":")[2]
    assert re.fullmatch(rf"http://[0-9a-z]{{32}}\.lambda-url\.{REGION}\.localhost:{port}/", made["FunctionUrl"])
    assert made["FunctionArn"] == f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"
    refused("ResourceConflictException", lam.create_function_url_config, FunctionName=name, AuthType="NONE")
    updated = lam.update_function_url_config(FunctionName=name, AuthType="AWS_IAM", InvokeMode="RESPONSE_STREAM")
    assert updated["Cors"] == cors and updated["InvokeMode"] == "RESPONSE_STREAM"
    got = lam.get_function_url_config(FunctionName=name)
    got.pop("ResponseMetadata")
    assert lam.list_function_url_configs(FunctionName=name)["FunctionUrlConfigs"] == [got]
    lam.delete_function_url_config(FunctionName=name)
    for call in (lam.get_function_url_config, lam.delete_function_url_config):
        message = refused("ResourceNotFoundException", call, FunctionName=name)
        assert message == "The resource you requested does not exist."


def test_url_qualifiers(lam, function):
    name = function(Publish=True)["FunctionName"]
    lam.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    create = lam.create_function_url_config
    made = create(FunctionName=name, Qualifier="live", AuthType="NONE")
    assert made["FunctionArn"].endswith(f":{name}:live")
    for qualifier in ("1", "$LATEST"):
        message = refused("ValidationException", create, FunctionName=name, Qualifier=qualifier, AuthType="NONE")
        assert message.startswith(f"1 validation error detected: Value '{qualifier}' at 'qualifier'")
    assert refused(
        "ResourceNotFoundException", create, FunctionName=unique("none"), AuthType="NONE"
    ) == "Function does not exist"


def test_code_signing(lam, function):
    name = function()["FunctionName"]
    profile = f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/p/1"
    made = lam.create_code_signing_config(AllowedPublishers={"SigningProfileVersionArns": [profile]})
    arn = made["CodeSigningConfig"]["CodeSigningConfigArn"]
    lam.update_code_signing_config(CodeSigningConfigArn=arn, Description="d")
    got = lam.get_code_signing_config(CodeSigningConfigArn=arn)["CodeSigningConfig"]
    assert got["Description"] == "d" and got in lam.list_code_signing_configs()["CodeSigningConfigs"]
    put = lam.put_function_code_signing_config(CodeSigningConfigArn=arn, FunctionName=name)
    assert put["FunctionName"] == name
    assert lam.get_function_code_signing_config(FunctionName=name)["CodeSigningConfigArn"] == arn
    users = lam.list_functions_by_code_signing_config(CodeSigningConfigArn=arn)["FunctionArns"]
    assert users == [f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"]
    lam.delete_function_code_signing_config(FunctionName=name)
    lam.delete_code_signing_config(CodeSigningConfigArn=arn)
    message = refused("ResourceNotFoundException", lam.get_code_signing_config, CodeSigningConfigArn=arn)
    assert message == f"The Lambda code signing configuration {arn} can not be found."


def test_smaller_settings(lam, function):
    name = function()["FunctionName"]
    assert lam.get_function_recursion_config(FunctionName=name)["RecursiveLoop"] == "Terminate"
    lam.put_function_recursion_config(FunctionName=name, RecursiveLoop="Allow")
    assert lam.get_function_recursion_config(FunctionName=name)["RecursiveLoop"] == "Allow"
    assert lam.get_runtime_management_config(FunctionName=name)["UpdateRuntimeOn"] == "Auto"
    put = lam.put_runtime_management_config(FunctionName=name, UpdateRuntimeOn="FunctionUpdate")
    assert put["UpdateRuntimeOn"] == "FunctionUpdate"
    assert lam.list_capacity_providers()["CapacityProviders"] == []
