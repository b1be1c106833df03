"""Who counts as dead: whoever did not change while it was looked at, and by no clock but that of who looks."""

from __future__ import annotations

from gateway.replicas.watch import Watch


def looks(watch: Watch, beats: list[float], begin: float = 0.0, apart: float = 1.0) -> list[list[str]]:
    """What is said at looks that are so many seconds apart, at which `one` has these beats."""
    return [watch.look({"one": beat}, begin + number * apart) for number, beat in enumerate(beats)]


def test_one_that_does_not_change_for_so_long_is_dead() -> None:
    assert looks(Watch(3.0), [7.0] * 5) == [[], [], [], ["one"], ["one"]]


def test_one_that_changes_lives_whatever_its_clock_says() -> None:
    assert looks(Watch(3.0), [9.0, 8.0, 7.0, 1e12, -4.0, 7.0]) == [[]] * 6


def test_a_change_ends_the_silence() -> None:
    assert looks(Watch(3.0), [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]) == [[]] * 6


def test_who_stood_still_itself_counts_none_of_that_time() -> None:
    watch = Watch(10.0)
    looks(watch, [1.0, 1.0])
    assert looks(watch, [1.0, 1.0], begin=1000.0) == [[], []]


def test_after_an_outage_all_begin_anew() -> None:
    watch = Watch(3.0)
    looks(watch, [1.0] * 3)
    watch.reset()
    assert looks(watch, [1.0] * 4, begin=3.0) == [[], [], [], ["one"]]


def test_one_that_left_the_roll_is_forgotten() -> None:
    watch = Watch(3.0)
    looks(watch, [1.0] * 3)
    assert watch.look({}, 3.0) == []
    assert watch.look({"one": 1.0}, 4.0) == []
