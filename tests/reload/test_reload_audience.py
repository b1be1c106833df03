"""Who hears of a new policy, and who hears no more of what it takes away."""

from __future__ import annotations

from gateway.mcp_face.audience import LIST_CHANGED, Audience, Listener

TOOLS, RESOURCES = frozenset({"tools"}), frozenset({"resources"})


def test_each_agent_hears_of_the_kinds_that_its_new_rules_change_and_it_asked_for() -> None:
    audience, heard = Audience(), []
    for agent, server, lists in (("a", None, TOOLS | RESOURCES), ("a", "shop", RESOURCES), ("b", None, TOOLS)):
        audience.join(
            Listener(agent, server, lists),
            lambda method, params, who=(agent, server): heard.append((who, method)),
        )
    audience.rights_changed({"a": TOOLS})
    assert heard == [(("a", None), LIST_CHANGED["tools"])]


def test_news_of_what_may_not_be_read_any_more_are_over() -> None:
    audience, heard = Audience(), []
    for agent in ("a", "b"):
        listener = Listener(agent, None, uris={("shop", "x"), ("shop", "y")})
        audience.join(listener, lambda method, params, who=agent: heard.append(who))
    audience.narrow(lambda agent, server, uri: (agent, server, uri) != ("a", "shop", "x"))
    audience.resource_updated("shop", "x", {"uri": "x"})
    assert (heard, audience.subscribed()) == (["b"], {("shop", "x"), ("shop", "y")})
    audience.resource_updated("shop", "y", {"uri": "y"})
    assert heard == ["b", "a", "b"]
