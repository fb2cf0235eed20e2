"""What the server tells of itself: figures for Prometheus, a page for people, OpenAPI for programs."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import numpy as np
import pytest
from fastapi.openapi.models import OpenAPI
from prometheus_client.parser import text_string_to_metric_families
from serve.asking import INFER, MODEL, Reply, Server, form, in_a_thread, tensor

from fittingroom.serve.app import Problem
from fittingroom.serve.settings import Limits, Settings

# ---------------------------------------------------------------- figures


def test_figures_count_what_was_asked(bundle: Path, images: np.ndarray, pngs: list[bytes]) -> None:
    with in_a_thread(Settings((bundle,)), ready=False) as fresh:
        for some in (images[:1], images[:5], images[:100]):
            assert fresh.infer({"inputs": [tensor(some)]}).status == 200
        assert fresh.infer({"inputs": [tensor(images[:257])]}).status == 413
        assert fresh.infer(b"x").status == 400
        body, headers = form(("a.png", pngs[0]), ("b.png", b"x"), ("c.png", pngs[1]))
        assert fresh.ask("POST", "/predict", body, headers).status == 200
        assert fresh.ask("GET", "/predict").status == 405
        for i in range(20):
            assert fresh.ask("GET", f"/made/up/{i}").status == 404
            assert fresh.ask("GET", f"/v2/models/{i}").status == 404
        reply = fresh.ask("GET", "/metrics")
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {family.name: family for family in text_string_to_metric_families(reply.body.decode())}
    requests = {
        (s.labels["path"], s.labels["status"]): s.value
        for s in families["fittingroom_requests"].samples
        if "/health/" not in s.labels["path"]
    }
    infer = "/v2/models/{name}/infer"
    assert requests == {
        (infer, "200"): 3,
        (infer, "413"): 1,
        (infer, "400"): 1,
        ("/predict", "200"): 1,
        ("/predict", "405"): 1,
        ("/v2/models/{name}", "404"): 20,
        ("other", "404"): 20,  # nobody can make up series
    }
    values = {
        (s.name, s.labels.get("le")): s.value for f in families.values() for s in f.samples if "model" in s.labels
    }
    assert values[("fittingroom_images_total", None)] == 1 + 5 + 100 + 2
    assert values[("fittingroom_batch_images_sum", None)] == 108
    assert values[("fittingroom_batch_images_count", None)] == 1 + 1 + 4 + 1
    assert [values[("fittingroom_batch_images_bucket", le)] for le in ("1.0", "2.0", "4.0", "8.0", "16.0", "32.0")] == [
        1, 2, 3, 4, 4, 7,
    ]  # fmt: skip
    assert values[("fittingroom_batch_seconds_count", None)] == 7
    assert 0 < values[("fittingroom_batch_seconds_sum", None)] < 60
    assert values[("fittingroom_waiting_requests", None)] == 0 and ("fittingroom_cancelled_total", None) not in values
    seconds = {
        s.labels["path"]: s.value for s in families["fittingroom_request_seconds"].samples if s.name.endswith("_count")
    }
    assert seconds[infer] == 5 and seconds["other"] == 20
    assert all(family.documentation for family in families.values())


def test_figures_of_a_server_that_nobody_asked(bundle: Path) -> None:
    with in_a_thread(Settings((bundle,)), ready=False) as fresh:
        families = list(text_string_to_metric_families(fresh.ask("GET", "/metrics").body.decode()))
    assert len(families) == 7 and {f.name for f in families} >= {"fittingroom_requests", "fittingroom_images"}


# ---------------------------------------------------------------- the page


class Page(HTMLParser):
    """Its tags, and what it would load or lead to."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.events: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for key, value in attributes if key in ("href", "src", "srcset", "action", "data")]
        self.events += [key for key, _ in attributes if key.startswith("on")]


def page_of(reply: Reply) -> str:
    assert reply.status == 200 and reply.headers["content-type"] == "text/html; charset=utf-8"
    return reply.body.decode()


def test_the_page_needs_nobody_else(server: Server) -> None:
    html = page_of(server.ask("GET", "/"))
    assert html == page_of(server.ask("GET", "/docs"))
    page = Page(html)
    assert page.tags.count("h1") == 1 and "script" not in page.tags and not page.events
    addresses = re.findall(r"\bhttps?://[^\s\"'<>)]+", html)
    assert addresses and all(address.startswith(f"http://{server.name}") for address in addresses)
    assert "//" not in re.sub(r"\bhttp://", "", html) and "url(" not in html and "@import" not in html
    for link in page.links:
        assert "//" not in link, link
        if not link.startswith(("#", "data:")):
            assert server.ask("GET", urljoin("/", link)).status == 200


def test_the_page_tells_all_addresses_and_what_the_model_is(server: Server, classes: tuple[str, ...]) -> None:
    html = page_of(server.ask("GET", "/"))
    for path in server.ask("GET", "/openapi.json").json["paths"]:
        assert f"<code>{path}</code>" in html
    assert MODEL in html and all(name in html for name in classes)
    assert (
        "32 MiB and 256 images a request, 40,000,000 pixels a picture and 200,000,000 all together, 64 requests waiting, 10 s for an answer"
        in html
    )


def test_limits_of_ones_own_are_told(bundle: Path) -> None:
    limits = Limits(queue=7, deadline_s=2.5, body_bytes=3 << 20, images=9, pixels=1_000)
    with in_a_thread(Settings((bundle, bundle), limits=limits), ready=False) as own:
        html = page_of(own.ask("GET", "/"))
    assert (
        "3 MiB and 9 images a request, 1,000 pixels a picture and 200,000,000 all together, 7 requests waiting, 2.5 s for an answer"
        in html
    )
    assert f"?model={MODEL}" in html and f"{MODEL}~2" in html and "FITTINGROOM_TOKEN" not in html


@pytest.mark.parametrize("host", ['127.0.0.1:1"><script>alert(1)</script>', "localhost/<b>", "127.0.0.1:8000?<i>"])
def test_nobody_writes_into_the_page(server: Server, host: str) -> None:
    reply = server.ask("GET", "/", headers={"Host": host})
    assert reply.status in (200, 403)
    assert (
        not {"script", "i"} & set(Page(reply.body.decode()).tags)
        and "<b>" not in reply.body.decode().partition("<main")[2]
    )


# ---------------------------------------------------------------- OpenAPI


def test_openapi_is_valid_and_tells_all(server: Server) -> None:
    tree = server.ask("GET", "/openapi.json").json
    api = OpenAPI.model_validate(tree)
    assert api.openapi.startswith("3.1") and api.paths is not None
    assert {(method, path) for path, methods in tree["paths"].items() for method in methods} == {
        ("get", "/v2/health/live"),
        ("get", "/v2/health/ready"),
        ("get", "/v2"),
        ("get", "/v2/models/{name}"),
        ("get", "/v2/models/{name}/ready"),
        ("post", "/v2/models/{name}/infer"),
        ("post", "/predict"),
        ("get", "/metrics"),
    }
    known = set(tree["components"]["schemas"])
    assert set(re.findall(r"#/components/schemas/(\w+)", str(tree))) <= known
    for methods in tree["paths"].values():
        for operation in methods.values():
            assert operation["description"]
            asked = {(one["in"], one["name"]) for one in operation.get("parameters", [])}
            assert asked <= {("path", "name"), ("query", "model"), ("query", "top"), ("query", "sure")}
            for status, told in operation["responses"].items():
                if int(status) >= 400:
                    schema = told["content"]["application/json"]["schema"]
                    assert schema == {"$ref": f"#/components/schemas/{Problem.__name__}"}, status
    assert INFER.replace(MODEL, "{name}") in tree["paths"]
