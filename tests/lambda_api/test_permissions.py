"""Resource-based policies of functions, versions and aliases."""

import json

from conftest import ACCOUNT, REGION, refused, unique


def grant(sid, **more):
    return {"StatementId": sid, "Action": "lambda:InvokeFunction", "Principal": "sns.amazonaws.com", **more}


def test_life(lam, function):
    name = function()["FunctionName"]
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"
    refused("ResourceNotFoundException", lam.get_policy, FunctionName=name)
    added = lam.add_permission(FunctionName=name, **grant("sns", SourceAccount=ACCOUNT, SourceArn="arn:aws:sns:::t"))
    statement = {
        "Sid": "sns", "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "lambda:InvokeFunction", "Resource": arn,
        "Condition": {"StringEquals": {"AWS:SourceAccount": ACCOUNT}, "ArnLike": {"AWS:SourceArn": "arn:aws:sns:::t"}},
    }
    assert json.loads(added["Statement"]) == statement
    policy = lam.get_policy(FunctionName=name)
    assert json.loads(policy["Policy"]) == {"Version": "2012-10-17", "Id": "default", "Statement": [statement]}
    assert policy["RevisionId"] == lam.get_function(FunctionName=name)["Configuration"]["RevisionId"]
    message = refused("ResourceConflictException", lam.add_permission, FunctionName=name, **grant("sns"))
    assert message == (
        "The statement id (sns) provided already exists. Please provide a new statement id, or remove the existing "
        "statement."
    )
    refused("PreconditionFailedException", lam.add_permission, FunctionName=name, RevisionId="old", **grant("two"))
    lam.add_permission(FunctionName=name, RevisionId=policy["RevisionId"], **grant("two"))
    for sid in ("sns", "two"):
        lam.remove_permission(FunctionName=name, StatementId=sid)
    message = refused("ResourceNotFoundException", lam.remove_permission, FunctionName=name, StatementId="sns")
    assert message == "No policy is associated with the given resource."


def test_principals(lam, function):
    name = function()["FunctionName"]
    user = f"arn:aws:iam::{ACCOUNT}:user/u"
    for sid, principal, written in (
        ("account", ACCOUNT, {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}),
        ("user", user, {"AWS": user}),
        ("all", "*", "*"),
    ):
        added = lam.add_permission(FunctionName=name, **grant(sid, Principal=principal))
        assert json.loads(added["Statement"])["Principal"] == written
    message = refused(
        "InvalidParameterValueException", lam.add_permission, FunctionName=name, **grant("no", Principal="nobody")
    )
    assert message == "The provided principal was invalid. Please check the principal and try again."
    message = refused(
        "InvalidParameterValueException", lam.add_permission, FunctionName=name, FunctionUrlAuthType="NONE",
        **grant("no", Principal="*"),
    )
    assert message == "FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl action"
    url = grant("url", Principal="*", Action="lambda:InvokeFunctionUrl", FunctionUrlAuthType="NONE")
    added = json.loads(lam.add_permission(FunctionName=name, **url)["Statement"])
    assert added["Condition"] == {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}}
    refused("ValidationException", lam.remove_permission, FunctionName=name, StatementId="a b")


def test_qualifiers(lam, function):
    name = function(Publish=True)["FunctionName"]
    lam.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    for qualifier in ("1", "live"):
        lam.add_permission(FunctionName=name, Qualifier=qualifier, **grant("same"))
        got = json.loads(lam.get_policy(FunctionName=f"{name}:{qualifier}")["Policy"])
        assert got["Statement"][0]["Resource"].endswith(f":function:{name}:{qualifier}")
    assert refused(
        "InvalidParameterValueException", lam.add_permission, FunctionName=name, Qualifier="$LATEST", **grant("s")
    ) == "We currently do not support adding policies for $LATEST."
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"
    assert refused(
        "ResourceNotFoundException", lam.add_permission, FunctionName=name, Qualifier="beta", **grant("s")
    ) == f"Cannot find alias arn: {arn}:beta"
    lam.delete_alias(FunctionName=name, Name="live")
    lam.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    refused("ResourceNotFoundException", lam.get_policy, FunctionName=name, Qualifier="live")


def test_no_function(lam):
    name = unique("none")
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"
    assert refused("ResourceNotFoundException", lam.get_policy, FunctionName=name) == f"Function not found: {arn}"
    assert refused(
        "ResourceNotFoundException", lam.add_permission, FunctionName=name, **grant("s")
    ) == f"Function not found: {arn}"
    assert refused(
        "ResourceNotFoundException", lam.remove_permission, FunctionName=name, StatementId="s"
    ) == f"No policy found for: {arn}"
