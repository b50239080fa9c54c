"""The memory that a process can still take."""

import sys

import fresh
import pytest

from ir_plugins.runtime import capacity
from ir_plugins.runtime.capacity import amount, free_memory


def test_it_is_less_than_the_machine_has():
    assert free_memory() > 1e6
    assert amount(2.5e9) == "2.5 GB" and amount(2.5e6) == "2.5 MB" and amount(2500) == "2.5 KB"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_limit_of_the_shell_counts():
    done = fresh.run("""
        import resource
        from ir_plugins.runtime.capacity import free_memory
        free, taken = free_memory(), int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + 50_000_000, resource.RLIM_INFINITY))
        print(free > 50_000_000, 30_000_000 < free_memory() <= 50_000_000)
    """)
    assert done.stdout.split() == ["True", "True"], done.stderr


@pytest.mark.parametrize("file", ["memory.max", "memory/memory.limit_in_bytes"])
def test_a_limit_of_the_container_counts(file, tmp_path, monkeypatch):
    monkeypatch.setattr(capacity, "CGROUPS", tmp_path)
    before = free_memory()
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("12345678\n")
    assert free_memory() == 12345678
    (tmp_path / file).write_text("max\n")
    assert free_memory() > before / 2
