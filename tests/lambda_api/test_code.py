"""Code: zips good and bad, and where they come from."""

import io
import urllib.request
import zipfile

from conftest import ROLE, make_zip, refused, unique

BROKEN = "Could not unzip uploaded file. Please check your file, then try to upload again."


def request(zip_file):
    return {
        "FunctionName": unique("code"), "Runtime": "python3.12", "Handler": "app.handler", "Role": ROLE,
        "Code": {"ZipFile": zip_file},
    }


def stored(content, name="filler"):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def test_the_zip_comes_back(lam, function):
    source = make_zip(app__py="x = 1")
    name = function(Code={"ZipFile": source})["FunctionName"]
    location = lam.get_function(FunctionName=name)["Code"]["Location"]
    with urllib.request.urlopen(location) as answer:
        assert answer.read() == source


def test_bad_zips(lam):
    for zip_file in (b"no zip", make_zip(app__py="x")[:-30], stored(b"", "../app.py"), stored(b"", "/app.py")):
        assert refused("InvalidParameterValueException", lam.create_function, **request(zip_file)) == BROKEN


def test_too_large(lam):
    # More than fifty megabytes, and in base64 still a request that is read.
    message = refused("RequestEntityTooLargeException", lam.create_function, **request(stored(bytes(52_440_000))))
    assert message == "Zipped size must be smaller than 52428800 bytes"
    message = refused("RequestEntityTooLargeException", lam.create_function, **request(stored(bytes(60 << 20))))
    assert message == "Request must be smaller than 70167211 bytes for the CreateFunction operation"
    message = refused(
        "InvalidParameterValueException", lam.create_function, **request(make_zip(zeros="\0" * 262_144_000)),
    )
    assert message == "Unzipped size must be smaller than 262144000 bytes"
