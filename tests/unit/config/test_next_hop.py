"""From a written next hop to endpoints: defaults, presets, inheritance, routes, the examples of the documentation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from filterproxy.config.endpoints import (
    Endpoint,
    HopProblem,
    all_providers,
    builtin_providers,
    endpoints,
    every_group,
)
from filterproxy.config.listeners import SmtpService
from filterproxy.config.loader import Loaded, load
from filterproxy.config.models import DEFAULT_CHECKS
from filterproxy.config.next_hop import NextHop, Provider
from filterproxy.config.show import render
from filterproxy.core.check import CheckConfig

DOCS = Path(__file__).parents[3] / "docs"
CREDENTIALS = {"username": "ann@example.org", "password_file": "secret"}


def resolved(**settings: Any) -> tuple[Endpoint, ...]:
    return endpoints(NextHop.model_validate(settings), builtin_providers(), Path("/etc/fp"))


def one(**settings: Any) -> Endpoint:
    (endpoint,) = resolved(**settings)
    return endpoint


def loaded(tmp_path: Path, text: str) -> Loaded:
    path = tmp_path / "filterproxy.yml"
    path.write_text(text)
    return load(path, dict.fromkeys(DEFAULT_CHECKS, CheckConfig))


@pytest.mark.parametrize(
    ("settings", "tls"),
    [
        ({"address": "127.0.0.1:10026"}, "none"),
        ({"address": "[::1]:25"}, "none"),
        ({"address": "localhost:25"}, "none"),
        ({"address": "unix:/run/hop"}, "none"),
        ({"address": "lmtp://unix:/run/hop"}, "none"),
        ({"address": "unix:/run/hop", **CREDENTIALS}, "none"),
        ({"address": "192.0.2.1:25"}, "may"),
        ({"address": "mail.example.org:25"}, "may"),
        ({"address": "mail.example.org:25", **CREDENTIALS}, "verify"),
        ({"address": "127.0.0.1:587", **CREDENTIALS}, "verify"),
        ({"address": "127.0.0.1:587", **CREDENTIALS, "tls": "none"}, "none"),
        ({"address": "smtps://127.0.0.1"}, "verify"),
        ({"address": "smtps://mail.example.org", "tls": "encrypt"}, "encrypt"),
        ({"provider": "tim", **CREDENTIALS}, "verify"),
    ],
)
def test_the_default_of_tls(settings: dict[str, Any], tls: str) -> None:
    assert one(**settings).tls == tls


PUBLISHED = [
    (name, server.host, server.port, "smtps" if server.tls == "implicit" else "smtp")
    for name, provider in builtin_providers().items()
    for server in provider.servers
]


@pytest.mark.parametrize(("name", "host", "port", "scheme"), PUBLISHED)
def test_every_published_server(name: str, host: str, port: int, scheme: str) -> None:
    endpoint = one(provider=name, host=host, port=port, **CREDENTIALS)
    assert (endpoint.address.host, endpoint.address.port, endpoint.address.scheme) == (host, port, scheme)
    assert (endpoint.server_name, endpoint.name, endpoint.detects_tls) == (host, name, False)
    assert endpoint.secret_file == Path("/etc/fp/secret")


def test_the_presets_are_those_that_were_promised() -> None:
    servers = {(name, host, port) for name, host, port, _ in PUBLISHED}
    assert servers >= {
        *(("gmail", "smtp.gmail.com", port) for port in (465, 587)),
        *(("hotmail", "smtp.live.com", port) for port in (25, 587)),
        ("hotmail", "smtp-mail.outlook.com", 587),
        ("outlook", "smtp.office365.com", 587),
        *(("aruba", "smtp.aruba.it", port) for port in (465, 587)),
        *(("libero", "smtp.libero.it", port) for port in (465, 587)),
        *(("tim", "smtp.tim.it", port) for port in (465, 587)),
    }
    assert all((scheme == "smtps") == (port == 465) for _, _, port, scheme in PUBLISHED)


@pytest.mark.parametrize(
    ("port", "scheme", "detects"),
    [(None, "smtps", False), (465, "smtps", False), (587, "smtp", False), (25, "smtp", False), (2525, "smtps", True)],
)
def test_another_host(port: int | None, scheme: str, detects: bool) -> None:
    endpoint = one(provider="gmail", host="relay.example", port=port, **CREDENTIALS)
    assert (endpoint.address.host, endpoint.address.scheme) == ("relay.example", scheme)
    assert (endpoint.server_name, endpoint.detects_tls) == ("relay.example", detects)


def test_an_own_provider_replaces_a_built_in_one() -> None:
    own = Provider.model_validate({"servers": [{"host": "smtp.corp.example", "port": 26, "tls": "starttls"}]})
    config = NextHop.model_validate({"provider": "gmail", **CREDENTIALS})
    (endpoint,) = endpoints(config, all_providers({"gmail": own}), Path())
    assert str(endpoint.address) == "smtp.corp.example:26"
    nothing = all_providers({"gmail": Provider(servers=())})
    with pytest.raises(HopProblem, match="has no servers"):
        endpoints(config, nothing, Path())


def test_items_take_what_they_do_not_say_from_around_them() -> None:
    first, second = resolved(
        hops=["a.example:25", {"address": "b.example:25", "command_timeout": "5s", "name": "b", "ca_file": "b.pem"}],
        **{"command_timeout": "7s", "name": "all", "ca_file": "ca.pem", **CREDENTIALS},
    )
    assert (first.name, second.name) == ("a.example:25", "b")
    assert (first.settings.command_timeout, second.settings.command_timeout) == (7.0, 5.0)
    assert (first.ca_file, second.ca_file) == (Path("/etc/fp/ca.pem"), Path("/etc/fp/b.pem"))
    assert first.settings.username == "ann@example.org"
    with pytest.raises(HopProblem, match="exclude each other"):
        resolved(address="a.example:25", hops=["b.example:25"])


def test_a_command_is_words() -> None:
    endpoint = one(address="smtps://a.example", username="ann", token_command="tool 'a b' --x")
    assert endpoint.token_command == ("tool", "a b", "--x")
    endpoint = one(address="smtps://a.example", username="ann", token_command=["tool", "a b"])
    assert endpoint.token_command == ("tool", "a b")
    with pytest.raises(HopProblem, match="token_command needs a username"):
        one(address="smtps://a.example", token_command="tool")


@pytest.mark.parametrize("page", ["smarthosts.md", "mail-clients.md"])
def test_the_examples_of_the_documentation(page: str, tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        for listener in loaded(tmp_path, block).settings.listeners:
            assert isinstance(listener, SmtpService)


def test_the_documentation_names_every_server() -> None:
    text = (DOCS / "smarthosts.md").read_text()
    for name, host, port, _ in PUBLISHED:
        (row,) = re.findall(rf"^\| `{name}` \|.*$", text, re.MULTILINE)
        assert host in row
        assert str(port) in row


def test_what_is_shown_means_the_same(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        """
providers: {corp: {servers: [{host: smtp.corp.example, port: 465, tls: implicit}]}}
listeners:
  - type: smtp
    address: "127.0.0.1:1"
    next_hop:
      command_timeout: 3s
      hops: ["a.example:25", {address: "lmtp://b.example:24", backup: true}]
      routes:
        .example.org: {provider: corp, username: a@example.org, token_command: [tool, "a b"]}
        example.com: ["c.example:25"]
""",
    )
    again = loaded(tmp_path, render(config))
    assert again.settings.listeners == config.settings.listeners
    assert again.settings.providers == config.settings.providers
    own = all_providers(config.settings.providers)
    for one_of, other in zip(config.settings.listeners, again.settings.listeners, strict=True):
        assert isinstance(one_of, SmtpService)
        assert isinstance(other, SmtpService)
        before = [endpoints(group, own, tmp_path) for _, group in every_group(one_of.next_hop)]
        after = [endpoints(group, own, tmp_path) for _, group in every_group(other.next_hop)]
        assert [[e.address for e in group] for group in before] == [[e.address for e in group] for group in after]
        assert after[0][0].settings.command_timeout == 3.0
    assert config.origin(("listeners", 0, "next_hop", "command_timeout")).endswith(":7")


def test_no_secret_is_shown(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2")
    config = loaded(
        tmp_path,
        "listeners: [{type: smtp, address: '127.0.0.1:1', next_hop: {provider: tim, username: a@tim.it, "
        "password_file: secret}}]",
    )
    assert "hunter2" not in render(config) + repr(config)
