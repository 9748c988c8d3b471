"""Results are remembered by what made them, within a budget, the least recently used gone first."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from sdgraph.store import Store, result_key
from sdgraph.store.store import MemoryResult
from sdgraph.values import size_of
from tests.support import toys


def test_a_key_hangs_on_the_node_its_inputs_and_its_surroundings() -> None:
    node = toys.Add(a=toys.Number(), b=1)
    keys = [
        result_key(node, ["int:1"]),
        result_key(node, ["int:2"]),
        result_key(node, ["int:1"], "cpu"),
        result_key(node, ["int:1", ""]),
        result_key(toys.Add(a=toys.Number(), b=2), ["int:1"]),
    ]
    assert len(set(keys)) == len(keys)
    assert result_key(toys.Add(a=toys.Number(value=9), b=1), ["int:1"]) == keys[0]


@given(st.lists(st.lists(st.sampled_from(["int:1", "int:11", "1", "int:"])), unique_by=tuple))
def test_no_two_lists_of_contents_share_a_key(lists: list[list[str]]) -> None:
    assert len({result_key(toys.Number(), contents) for contents in lists}) == len(lists)


def test_a_key_hangs_on_a_files_content_and_not_on_its_time(tmp_path: Path) -> None:
    path, keys = tmp_path / "a", []
    for text in ("one", "two", "one"):
        path.write_text(text)  # of one length, within one tick of the clock
        path.touch()
        keys.append(result_key(toys.Read(path=path), []))
    assert keys[0] == keys[2] != keys[1]


def test_what_is_put_is_got() -> None:
    store = Store()
    assert store.get(b"k") is None
    result = store.put(b"k", "value")
    assert store.get(b"k") == result and result.value == "value" and len(store) == 1
    store.clear()
    assert store.get(b"k") is None and store.bytes == 0


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 400), st.booleans()), max_size=30))
def test_the_budget_holds_and_the_least_recently_used_goes(
    puts: list[tuple[int, int, bool]],
) -> None:
    store, order = Store(limit=1000), dict[bytes, str]()
    for name, size, touch in puts:
        key, value = bytes([name]), "x" * size
        if touch:
            result = store.get(key)
            assert (result.value if result else None) == order.get(key)
            if key in order:
                order[key] = order.pop(key)
            continue
        store.put(key, value)
        order.pop(key, None)
        order[key] = value
        while sum(map(size_of, order.values())) > 1000:
            del order[next(iter(order))]
        assert store.bytes == sum(map(size_of, order.values())) <= 1000
        assert len(store) == len(order)


def test_aliases_of_forgotten_results_go_and_those_of_kept_ones_stay() -> None:
    store = Store(limit=200)
    for number in range(20_000):
        store.put(b"forgotten", "x" * 500)
        store.add_alias(b"%d" % number, b"forgotten")
    assert len(store._aliases) < 4000
    store.put(b"kept", "x")
    store.add_alias(b"one", b"kept")
    for number in range(20_000):
        store.add_alias(b"%d" % number, b"forgotten")
    result = store.by_alias(b"one")
    assert result is not None and result.value == "x" and len(store._aliases) < 4000


def test_many_aliases_of_one_result_are_not_looked_through_for_each_new_one() -> None:
    class CountedResults(OrderedDict[bytes, MemoryResult]):
        looked_up = 0

        def __contains__(self, key: object) -> bool:
            self.looked_up += 1
            return super().__contains__(key)

    store = Store()
    store._results = results = CountedResults()
    store.put(b"key", "value")
    for number in range(20_000):
        store.add_alias(b"%d" % number, b"key")
    assert results.looked_up < 2 * 20_000
    assert store.by_alias(b"0") == store.by_alias(b"19999") == store.get(b"key")


def test_a_value_larger_than_the_budget_is_not_kept_and_evicts_nothing() -> None:
    store = Store(limit=200)
    store.put(b"small", "x")
    assert store.put(b"large", "x" * 500).value == "x" * 500
    assert store.get(b"large") is None and store.get(b"small") is not None
