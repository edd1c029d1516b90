"""Versions and revisions."""

from conftest import make_zip, refused

STALE = (
    "The Revision Id provided does not match the latest Revision Id. "
    "Call the GetFunction/GetAlias API to retrieve the latest Revision Id"
)


def changed(lam, name, **settings):
    """The configuration after a change has settled."""
    lam.update_function_configuration(FunctionName=name, **settings)
    lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    return lam.get_function_configuration(FunctionName=name)


def test_versions_stand_side_by_side(lam, function):
    name = function()["FunctionName"]
    first = lam.publish_version(FunctionName=name, Description="first")
    assert (first["Version"], first["Description"], first["State"]) == ("1", "first", "Active")
    assert first["FunctionArn"].endswith(f":{name}:1")
    assert lam.publish_version(FunctionName=name)["Version"] == "1"
    changed(lam, name, Timeout=20)
    second = lam.publish_version(FunctionName=name)
    assert second["Version"] == "2"
    lam.get_waiter("published_version_active").wait(FunctionName=name, Qualifier="2")
    timeouts = {v["Version"]: v["Timeout"] for v in lam.list_versions_by_function(FunctionName=name)["Versions"]}
    assert timeouts == {"$LATEST": 20, "1": 10, "2": 20}
    assert lam.delete_function(FunctionName=name, Qualifier="1")["StatusCode"] == 204
    message = refused("ResourceNotFoundException", lam.get_function, FunctionName=name, Qualifier="1")
    assert message == f"Function not found: {first['FunctionArn']}"


def test_revisions(lam, function):
    created = function()
    name = created["FunctionName"]
    active = lam.get_function(FunctionName=name)["Configuration"]["RevisionId"]
    assert active != created["RevisionId"]
    code = make_zip(app__py="x = 1")
    message = refused(
        "PreconditionFailedException", lam.update_function_code, FunctionName=name, ZipFile=code,
        RevisionId=created["RevisionId"],
    )
    assert message == STALE
    updating = lam.update_function_code(FunctionName=name, ZipFile=code, RevisionId=active)
    assert updating["LastUpdateStatus"] == "InProgress"
    lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    updated = lam.get_function_configuration(FunctionName=name)
    assert len({created["RevisionId"], active, updating["RevisionId"], updated["RevisionId"]}) == 4
    assert updated["CodeSha256"] != created["CodeSha256"]
    published = lam.publish_version(FunctionName=name, RevisionId=updated["RevisionId"])
    assert published["CodeSha256"] == updated["CodeSha256"]


def test_published_at_once(lam, function):
    created = function(Publish=True)
    assert created["Version"] == "1"
    name = created["FunctionName"]
    shown = lam.get_function(FunctionName=f"{name}:1")["Configuration"]
    assert (shown["State"], shown["LastUpdateStatus"]) == ("Active", "Successful")
    arns = [
        f["FunctionArn"] for page in lam.get_paginator("list_functions").paginate(FunctionVersion="ALL")
        for f in page["Functions"] if f["FunctionName"] == name
    ]
    assert [arn.rsplit(":", 1)[1] for arn in arns] == ["$LATEST", "1"]


def test_a_version_never_changes(lam, function):
    name = function(Publish=True)["FunctionName"]
    lam.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    code = make_zip(app__py="x = 1")
    for which in (f"{name}:1", f"{name}:live"):
        for change, what in (
            (lam.update_function_configuration, {"Timeout": 33}), (lam.update_function_code, {"ZipFile": code}),
            (lam.publish_version, {}),
        ):
            message = refused("InvalidParameterValueException", change, FunctionName=which, **what)
            assert message == (
                "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. "
                "Please specify either a function name or an unqualified function ARN."
            )
    changed(lam, f"{name}:$LATEST", Timeout=33)
    timeouts = [lam.get_function_configuration(FunctionName=name, Qualifier=q)["Timeout"] for q in ("$LATEST", "1")]
    assert timeouts == [33, 10]


def test_the_key_of_a_zip_is_kept_with_it(lam, function):
    key = "arn:aws:kms:us-east-1:000000000000:key/1c9a1a8e-0000-4000-8000-000000000000"
    code = make_zip(app__py="x = 1")
    name = function(Code={"ZipFile": code, "SourceKMSKeyArn": key}, Publish=True)["FunctionName"]
    assert lam.get_function(FunctionName=name)["Code"]["SourceKMSKeyArn"] == key
    lam.update_function_code(FunctionName=name, ZipFile=code)
    lam.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    assert "SourceKMSKeyArn" not in lam.get_function(FunctionName=name)["Code"]
    assert lam.get_function(FunctionName=name, Qualifier="1")["Code"]["SourceKMSKeyArn"] == key
    message = refused("InvalidParameterValueException", lam.publish_version, FunctionName=name, PublishTo="LATEST_PUBLISHED")
    assert message == "PublishTo is not supported here: functions run on this machine."
