"""Request bodies that are refused, and why."""

from __future__ import annotations

import io
from typing import Any

import pytest

from tests.contract.api import BINARY, Api, error_of


@pytest.mark.parametrize(
    ("body", "content_type", "status", "param"),
    [
        (b"", "application/json", 400, None),
        (b"{", "application/json", 400, None),
        (b"\xff", "application/json", 400, None),
        (b"[" * 50_000, "application/json", 400, None),
        (b"[]", "application/json", 400, None),
        (b"null", "application/json", 400, None),
        (b'"x"', "application/json", 400, None),
        (b"{}", "application/json", 400, "prompt"),
        (b'{"prompt": null}', "application/json", 400, "prompt"),
        (b'{"prompt": "\\ud800"}', "application/json", 400, "prompt"),
        (b'{"prompt": "x", "seed": 1e400}', "application/json", 400, "seed"),
        (b'{"prompt": "x", "guidance_scale": NaN}', "application/json", 400, "guidance_scale"),
        (b'{"prompt": "x", "nope": 1}', "application/json", 400, "nope"),
        (b'{"prompt": "x"}', "text/plain", 400, None),
        (b'{"prompt": "x"}', "", 400, None),
        (b"prompt=x&prompt=y", "application/x-www-form-urlencoded", 400, "prompt"),
        (b"prompt=x&metadata=7", "application/x-www-form-urlencoded", 400, "metadata"),
        (
            b"prompt=x&metadata={}&metadata[a]=b",
            "application/x-www-form-urlencoded",
            400,
            "metadata",
        ),
        (
            b"prompt=x&" + b"".join(b"f%d=1&" % n for n in range(200)),
            "application/x-www-form-urlencoded",
            400,
            "f0",
        ),
        (
            b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n",
            "multipart/form-data; boundary=b",
            400,
            None,
        ),
        (b'{"prompt": "x", "seed": 1, "seed": 2}', "application/json", 400, "seed"),
        ('{"prompt": "x"}'.encode("utf-16"), "application/json", 400, None),
        (b"prompt=caf%e9", "application/x-www-form-urlencoded", 400, None),
        (
            b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\ncaf\xe9\r\n--b--\r\n',
            "multipart/form-data; boundary=b",
            400,
            None,
        ),
        (b'prompt=x&metadata={"a":', "application/x-www-form-urlencoded", 400, "metadata"),
        (b"x" * (300 << 10), "application/json", 413, None),
        (b"x" * (300 << 10), "application/x-www-form-urlencoded", 413, None),
    ],
)
def test_a_bad_body_is_refused_and_leaves_nothing(
    api: Api, body: bytes, content_type: str, status: int, param: str | None
) -> None:
    """The error names the field; no request, event or file is stored."""
    response = api.submit.post("/v1/videos", data=body, content_type=content_type)
    assert response.status_code == status
    assert error_of(response)["param"] == param
    assert api.is_empty()


FORM = "multipart/form-data; boundary=b"
PHOTO = b"\x89PNG" * (100 << 10)
LARGE_MEDIA: list[tuple[bytes, str, str]] = [
    (
        b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nx\r\n'
        b'--b\r\nContent-Disposition: form-data; name="input_reference"; filename="a.png"\r\n\r\n'
        + PHOTO,
        FORM,
        "input_reference",
    ),
    (
        b'--b\r\nContent-Disposition: form-data; name="picture"; filename="a"\r\n\r\n' + PHOTO,
        FORM,
        "picture",
    ),
    (
        b'--b\r\nContent-Disposition: form-data; name="image_url[url]"\r\n\r\n' + PHOTO,
        FORM,
        "image_url",
    ),
    (
        b'{"prompt": "x", "input_reference": {"image_url": "data:' + PHOTO,
        "application/json",
        "input_reference",
    ),
    (b'{"image_url" :"' + PHOTO, "application/json", "image_url"),
    (b"prompt=x&video=" + PHOTO, "application/x-www-form-urlencoded", "video"),
]


@pytest.mark.parametrize(("body", "content_type", "param"), LARGE_MEDIA)
@pytest.mark.parametrize("path", ["/v1/videos", "/v1/videos/v1/remix"])
def test_media_of_any_size_get_the_one_answer(
    api: Api, path: str, body: bytes, content_type: str, param: str
) -> None:
    """Not that the body is too large: a smaller picture would be refused as well."""
    response = api.submit.post(path, data=body, content_type=content_type)
    error = error_of(response)
    assert (response.status_code, error["param"]) == (400, param)
    assert error["code"] == "unsupported_parameter"
    assert "from text only" in error["message"]
    assert api.is_empty()


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"prompt": "a \\"video\\": ' + b"x" * (300 << 10), "application/json"),
        (b'{"prompt": "x", "model": "video", "q": "' + b"x" * (300 << 10), "application/json"),
        (b"prompt=video=1&my_video=" + b"x" * (300 << 10), "application/x-www-form-urlencoded"),
        (b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nvideo' + PHOTO, FORM),
    ],
)
def test_a_large_text_about_media_is_too_large(api: Api, body: bytes, content_type: str) -> None:
    """Only a field or a file is media, not a word in a text."""
    response = api.submit.post("/v1/videos", data=body, content_type=content_type)
    assert (response.status_code, error_of(response)["code"]) == (413, "request_too_large")


@pytest.mark.parametrize("size", [10, 400 << 10])
@pytest.mark.parametrize("path", ["edits", "extensions", "characters"])
def test_operations_on_media_say_why_they_are_not_supported(api: Api, path: str, size: int) -> None:
    """Whatever is sent to them, and not that the method is wrong."""
    body = b"x" * size
    response = api.submit.post(f"/v1/videos/{path}", data=body, content_type=FORM)
    assert (response.status_code, error_of(response)["code"]) == (400, "unsupported_operation")
    assert "from text only" in error_of(response)["message"]


def test_a_character_does_not_exist_for_a_reason(api: Api) -> None:
    """The same answer as for the creation of one."""
    response = api.status.get("/v1/videos/characters/char_1")
    assert (response.status_code, error_of(response)["code"]) == (400, "unsupported_operation")


def test_a_file_in_place_of_a_text_is_named(api: Api) -> None:
    """`curl -F prompt=@file` sends a file."""
    data = {"prompt": (io.BytesIO(b"a red circle"), "prompt.txt")}
    response = api.submit.post("/v1/videos", data=data, content_type="multipart/form-data")
    assert (response.status_code, error_of(response)["param"]) == (400, "prompt")
    assert "send it as text" in error_of(response)["message"]


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"a": 1}, "metadata[a] must be text"),
        ({"a": "x" * 513}, "metadata[a] has 513 characters; at most 512 are accepted"),
        ({"n" * 65: "x"}, f"the name of metadata[{'n' * 65}] has 65 characters; at most 64 are"),
        ({"": "x"}, "the name of metadata[] must not be empty"),
        (["a"], "metadata must be an object"),
        ({str(n): "x" for n in range(17)}, "metadata has more than 16 entries"),
    ],
)
def test_an_error_in_metadata_names_the_pair(api: Api, metadata: Any, message: str) -> None:
    """And whether its name or its text is at fault."""
    response = api.create(metadata=metadata)
    assert (response.status_code, error_of(response)["param"]) == (400, "metadata")
    assert error_of(response)["message"].startswith(message)
    assert api.is_empty()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"seed": %s}' % (b"9" * 5000), "has a number with too many digits"),
        (b'{"metadata": %s}' % (b"[" * 99_999), "is nested too deeply"),
        (b'{"prompt": "caf\xe9"}', "is not UTF-8"),
        (b'{"prompt"', "is not valid JSON"),
        (b"[NaN]", "has the number NaN; a number must be finite"),
    ],
)
def test_a_body_that_can_not_be_parsed_says_why(api: Api, body: bytes, reason: str) -> None:
    """The reason is specific."""
    response = api.submit.post("/v1/videos", data=body, content_type="application/json")
    error = error_of(response)
    assert (response.status_code, error["code"], error["param"]) == (400, "invalid_json", None)
    assert reason in error["message"]
    assert api.is_empty()


@pytest.mark.parametrize("headers", [{"content-type": "application/json"}, BINARY])
def test_a_compressed_body_is_refused_for_its_encoding(api: Api, headers: dict[str, str]) -> None:
    """The error is not about JSON."""
    path = "/" if headers is BINARY else "/v1/videos"
    response = api.submit.post(
        path, data=b"\x1f\x8b", headers={**headers, "Content-Encoding": "gzip"}
    )
    assert response.status_code == 400
    assert "without Content-Encoding" in error_of(response)["message"]


def test_a_chunked_body_that_is_too_long_is_refused(api: Api) -> None:
    """Its length is not declared, so it is counted, and never truncated."""
    body = b'{"prompt": "x"}' + b" " * (256 << 10) + b"and more"
    response = api.submit.post(
        "/v1/videos",
        input_stream=io.BytesIO(body),
        content_type="application/json",
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert response.status_code == 413
    assert api.is_empty()


@pytest.mark.parametrize(
    ("content_type", "end", "reason"),
    [
        ("multipart/form-data", b"--b--\r\n", "names no boundary"),
        ('multipart/form-data; boundary=""', b"--b--\r\n", "names no boundary"),
        ("multipart/form-data; boundary=c", b"--b--\r\n", "no part begins with the boundary"),
        ("multipart/form-data; boundary=b", b"", "breaks off"),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Dispo", "breaks off"),
    ],
)
def test_a_form_that_can_not_be_read_says_why(
    api: Api, content_type: str, end: bytes, reason: str
) -> None:
    """And not that the prompt is missing, which was sent."""
    body = b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nx\r\n' + end
    error = error_of(api.submit.post("/v1/videos", data=body, content_type=content_type))
    assert error["code"] == "invalid_form"
    assert reason in error["message"]
    assert api.is_empty()
