"""URLs are read as browsers read them, and lead to public hosts or to those that are named."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.call import ArgumentRule
from gateway.facts import Argument
from gateway.rules import compile_rules
from gateway.rules.addresses import standing
from gateway.upstream.dial import dial


def url(**options: Any) -> ArgumentRule:
    return compile_rules({"it": Argument(kind="url", **options)})["it"]


SENT = {
    "https://example.com": "https://example.com/",
    "HTTPS://Example.COM:443/a/../b?q=1#x": "https://example.com/b?q=1#x",
    "http://example.com.": "http://example.com./",
    "http://8.8.8.8:8080/a b".replace(" ", "%20"): "http://8.8.8.8:8080/a%20b",
    "https://b\u00fccher.example/": "https://xn--bcher-kva.example/",
    "https://[2606:4700::1111]/": "https://[2606:4700::1111]/",
}
REFUSED = [
    "", "example.com", "//example.com", "/path", "ftp://example.com/", "file:///etc/passwd", "javascript:alert(1)",
    "data:text/html,x", "gopher://example.com/", "http://", "http://user@example.com/", "http://a:b@example.com/",
    "http://example.com/a b", "http://example.com\\@evil.example/", "http://exam\tple.com/", "http://a\n.example/",
    "http://localhost/", "http://LOCALHOST:8080/", "http://a.localhost/", "http://localhost./", "http://127.0.0.1/",
    "http://127.1/", "http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/", "http://0x7f.1/",
    "http://127.0.0.1./", "http://0/", "http://0.0.0.0/", "http://10.0.0.1/", "http://172.16.0.1/",
    "http://192.168.1.1/", "http://100.64.0.1/", "http://[::1]/", "http://[::]/", "http://[::ffff:127.0.0.1]/",
    "http://[::127.0.0.1]/", "http://[64:ff9b::7f00:1]/", "http://[64:ff9b:1::a00:1]/", "http://[2002:7f00:1::]/",
    "http://[2001:0:0:0:0:0:80ff:fffe]/", "http://[fd00::1]/", "http://[fe80::1]/", "http://[fe80::1%25eth0]/",
    "http://\uff11\uff12\uff17.0.0.1/", "http://\u2460\u2461\u2466.0.0.1/", "http://127\u30020\u30020\u30021/",
    "http://169.254.169.254/latest/", "http://2852039166/", "http://[::ffff:a9fe:a9fe]/", "http://[fd00:ec2::254]/",
    "http://metadata.google.internal/", "http://db.internal/", "http://printer.local/", "http://intranet/",
    "http://kubernetes.default.svc/", "http://127.0.0.1.nip.io/", "http://a.localtest.me/", "http://224.0.0.1/",
    "https://example.com/" + "x" * 8192, "http://256.256.256.256/", "http://exa%00mple.com/",
]  # fmt: skip


@pytest.mark.parametrize(("given_url", "sent"), SENT.items())
def test_a_public_url_is_sent_on_in_its_normal_form(given_url: str, sent: str) -> None:
    assert url()(given_url) == sent
    assert url()(sent) == sent


@pytest.mark.parametrize("given_url", REFUSED)
def test_what_leads_elsewhere_is_refused_in_every_spelling(given_url: str) -> None:
    with pytest.raises(ValueError, match=r"^must (be|not lead) "):
        url()(given_url)


def test_schemes_are_those_declared() -> None:
    assert url(schemes=("ftp",))("ftp://example.com/a") == "ftp://example.com/a"
    with pytest.raises(ValueError, match="scheme is https"):
        url(schemes=("https",))("http://example.com/")


@pytest.mark.parametrize(
    ("host", "taken"),
    [("api.example.com", True), ("API.example.com.", True), ("a.wild.example", True), ("a.b.wild.example", True),
     ("wild.example", False), ("notwild.example", False), ("example.com", False), ("api.example.com.evil.net", False),
     ("10.0.0.7", True), ("10.0.0.8", False), ("db.internal", True), ("169.254.169.254", False), ("localhost", False)],
)  # fmt: skip
def test_hosts_are_those_named_and_only_a_name_in_full_opens_the_inside(host: str, taken: bool) -> None:
    made = url(hosts=("api.example.com", "*.wild.example", "10.0.0.7", "db.internal", "169.254.169.254"))
    if taken:
        assert made(f"https://{host}/")
    else:
        with pytest.raises(ValueError, match=r"^must "):
            made(f"https://{host}/")


@pytest.mark.parametrize(
    ("address", "stands"),
    [("8.8.8.8", "public"), ("2606:4700::1", "public"), ("64:ff9b::808:808", "public"), ("127.0.0.1", "private"),
     ("::1", "private"), ("fd00::1", "private"), ("ff02::1", "private"), ("2001:db8::1", "private"),
     ("2001:4860:4860::8888", "public"), ("2001:4860::5efe:a00:1", "private"), ("255.255.255.255", "private"),
     ("169.254.170.2", "metadata"), ("fe80::1%eth0", "metadata"), ("::ffff:169.254.169.254", "metadata"),
     ("64:ff9b::a9fe:a9fe", "metadata"), ("2002:a9fe:a9fe::", "metadata"), ("fd00:ec2::254", "metadata"),
     ("100.100.100.200", "metadata"), ("168.63.129.16", "metadata"), ("example.com", None), ("", None)],
)  # fmt: skip
def test_addresses_stand_where_the_registries_say(address: str, stands: str | None) -> None:
    assert standing(address) == stands


@given(st.ip_addresses())
def test_what_python_takes_for_private_is_never_public(address: Any) -> None:
    if not address.is_global or address.is_multicast:
        assert standing(str(address)) != "public"


@given(st.ip_addresses(v=4))
def test_an_embedded_address_stands_as_it_does_alone(address: ipaddress.IPv4Address) -> None:
    alone = standing(str(address))
    for network in ("::ffff:0:0", "64:ff9b::", "64:ff9b:1::"):
        embedded = ipaddress.IPv6Address(int(ipaddress.IPv6Address(network)) | int(address))
        assert standing(str(embedded)) != "public" or alone == "public"
        assert alone != "metadata" or standing(str(embedded)) == "metadata"


@pytest.mark.anyio
@pytest.mark.parametrize("host", ["169.254.169.254", "2852039166", "::ffff:169.254.169.254", "fe80::1"])
async def test_the_gateway_itself_connects_to_no_metadata_service(host: str) -> None:
    with pytest.raises(OSError, match=r"metadata service|not known|not supported"):
        await dial(host, 80)
