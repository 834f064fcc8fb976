"""`GET /v1/videos`: pages and filters."""

from __future__ import annotations

import pytest

from tests.contract.api import Api, error_of


def test_pages_continue_after_the_id_of_the_last_video(api: Api) -> None:
    """Newest first, with the fields that the official client needs for the next page."""
    ids = [api.create().get_json()["id"] for _ in range(5)]
    page = api.status.get("/v1/videos?limit=2").get_json()
    assert (page["object"], page["has_more"]) == ("list", True)
    assert [video["id"] for video in page["data"]] == ids[:2:-1]
    assert (page["first_id"], page["last_id"]) == (ids[4], ids[3])
    rest = api.status.get(f"/v1/videos?limit=3&after={page['last_id']}").get_json()
    assert [video["id"] for video in rest["data"]] == ids[2::-1]
    assert rest["has_more"] is False
    up = api.status.get("/v1/videos?order=asc").get_json()
    assert [video["id"] for video in up["data"]] == ids
    empty = api.status.get(f"/v1/videos?after={ids[0]}").get_json()
    assert (empty["data"], empty["last_id"], empty["has_more"]) == ([], None, False)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=ten", "limit"),
        ("limit=-1", "limit"),
        ("limit=²", "limit"),
        ("limit=1&limit=2", "limit"),
        ("order=up", "order"),
        ("order=asc&order=asc", "order"),
        ("after=unknown", "after"),
        ("after=*", "after"),
        ("after=a&after=b", "after"),
        ("status=done", "status"),
        ("status=queued,done", "status"),
        ("status=queued&status=done", "status"),
        ("created_after=yesterday", "created_after"),
        ("created_after=-1", "created_after"),
        ("created_before=1795000000000", "created_before"),
        ("created_before=2026-13-01T00:00:00Z", "created_before"),
        ("created_before=1&created_before=2", "created_before"),
        ("metadata=a", "metadata"),
        ("metadata[]=a", "metadata"),
        ("metadata[a=b", "metadata"),
        ("metadata[a]=1&metadata[a]=2", "metadata[a]"),
        ("&".join(f"metadata[{n}]=x" for n in range(17)), "metadata"),
        ("q=a&q=b", "q"),
        ("stauts=failed", "stauts"),
        ("status[]=failed", "status[]"),
        ("limit=1&cursor=x", "cursor"),
    ],
)
def test_a_bad_query_names_its_parameter(api: Api, query: str, param: str) -> None:
    """400, as for other invalid input."""
    response = api.status.get(f"/v1/videos?{query}")
    assert (response.status_code, error_of(response)["param"]) == (400, param)


def test_a_misspelt_filter_is_not_ignored(api: Api) -> None:
    """A program that deletes what it lists would delete every video."""
    error = error_of(api.status.get("/v1/videos?stauts=failed"))
    assert error["code"] == "unknown_parameter"
    assert error["message"] == "stauts is not known; did you mean 'status'?"


@pytest.mark.parametrize(
    ("prompt", "found", "not_found"),
    [
        ("\uff21\uff22\uff23", ("abc", "ABC", "\uff42"), ("abd",)),
        ("Stra\u00dfe", ("strasse", "STRA\u1e9eE"), ("strase",)),
        ("cafe\u0301", ("CAF\u00c9", "caf"), ("cafe",)),
        (
            "\u039f\u0394\u03a5\u03a3\u03a3\u0395\u03a5\u03a3",
            ("\u03bf\u03b4\u03c5\u03c2",),
            ("\u03b1",),
        ),
        ("\ufb03nity \u2460", ("FFI", "affinity"[1:], "1"), ("2",)),
        ("\u212b 5\u3000m\u00b2", ("\u00e5", "5 m2"), ("a 5",)),
    ],
)
def test_a_search_ignores_case_and_width(
    api: Api, prompt: str, found: tuple[str, ...], not_found: tuple[str, ...]
) -> None:
    """Letters that are compatible in Unicode are equal; an accent makes another letter."""
    api.create(prompt=prompt)
    for text in (*found, *not_found):
        listed = api.status.get("/v1/videos", query_string={"q": text}).get_json()["data"]
        assert len(listed) == (text in found), text


def test_what_is_compared_of_a_prompt_is_bounded(api: Api) -> None:
    """One character may stand for 18; the search finds what is within the limit."""
    api.create(prompt="whale " + "\ufdfa" * 3000 + " shark")
    for text, count in (("whale", 1), ("shark", 0)):
        assert len(api.status.get(f"/v1/videos?q={text}").get_json()["data"]) == count


def test_a_text_to_search_for_has_a_limit(api: Api) -> None:
    """500 characters are searched for; 501 are refused, with the limit."""
    assert api.status.get(f"/v1/videos?q={'é' * 500}").status_code == 200
    response = api.status.get(f"/v1/videos?q={'é' * 501}")
    assert (response.status_code, error_of(response)["param"]) == (400, "q")
    assert "500" in error_of(response)["message"]


def test_filters_narrow_the_list_down(api: Api) -> None:
    """Alone and combined; empty filters and unknown parameters change nothing."""
    one = api.create(prompt="Ein STRASSENFEST, 100% bunt", metadata={"team": "a", "k": ""}).json
    two = api.create(prompt="a quiet street_lamp", metadata={"team": "a"}).json
    assert one is not None
    assert two is not None
    api.submit.post(f"/v1/videos/{two['id']}/cancel")
    now = two["created_at"]
    for query, expected in {
        "status=&q=&created_after=": [two, one],
        "status=queued": [one],
        "status=failed,completed": [two],
        "status=failed&status=queued": [two, one],
        "status=in_progress": [],
        "metadata[team]=a": [two, one],
        "metadata[team]=a&metadata[k]=": [one],
        "metadata[team]=b": [],
        "q=straßen": [one],
        "q=0%25+B": [one],
        "q=%25": [one],
        "q=t_l": [two],
        "q=_": [two],
        "q=%00": [],
        "q=str&status=queued": [one],
        f"created_after={now}": [two, one],
        f"created_after={now + 1}": [],
        f"created_before={now}": [],
        "created_before=0": [],
        f"created_before={now + 1}.5": [two, one],
        "created_after=2020-01-01T00:00:00+01:00": [two, one],
        "created_after=2020-01-01t00:00:00%2B01:00&created_before=2021-01-01T00:00:00Z": [],
        "created_after=99999999999": [],
        # `after` may name a video that does not match the filters.
        f"after={two['id']}&status=queued": [one],
        f"after={two['id']}&status=failed": [],
    }.items():
        page = api.status.get(f"/v1/videos?{query}").get_json()
        assert "data" in page, (query, page)
        assert [video["id"] for video in page["data"]] == [v["id"] for v in expected], query
        assert page["has_more"] is False
