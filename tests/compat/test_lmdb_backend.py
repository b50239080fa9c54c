"""How basicsr opens LMDBs: the break, the repair, healthy versions left alone."""

import functools
import importlib.util
import multiprocessing
import pickle

import lmdb
import pytest
from repairs import client, picture, png
from torch.utils.data import DataLoader

from ir_plugins.compat.lmdb_backend import SharedLmdb
from ir_plugins.runtime.errors import UserError

from basicsr.utils import file_client
from basicsr.utils.file_client import FileClient


def original_backend():
    """BasicSR's own class, from its file once more: the repaired module does not keep it."""
    spec = importlib.util.spec_from_file_location("fresh_file_client", file_client.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.LmdbBackend


def test_the_original_backend_is_sick(store):
    backend = original_backend()(str(store))
    assert backend.get("missing", "default") is None
    with pytest.raises(UnicodeEncodeError):
        backend.get("größe", "default")
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(backend._client)
    try:
        original_backend()(str(store))
    except lmdb.Error as error:
        assert "already open in this process" in str(error)
    else:
        pytest.skip("this py-lmdb opens an environment twice")


def test_one_lmdb_serves_gt_and_lq_and_another_dataset(store, tmp_path):
    (tmp_path / "link.lmdb").symlink_to(store)
    train, val = client(store, store), client(tmp_path / "link.lmdb", store)
    contents = {c.get(key, role) for c in (train, val) for key in ["fine", "größe"] for role in ["lq", "gt"]}
    assert contents == {png(picture())}
    assert isinstance(train.client, file_client.BaseStorageBackend)
    assert FileClient("lmdb", db_paths=str(store)).get("fine") == png(picture())
    assert file_client.LmdbBackend is SharedLmdb


def test_an_lmdb_closes_with_its_last_user(store):
    first, second = client(store), client(store)
    del first
    with pytest.raises(lmdb.Error, match="already open"):
        lmdb.open(str(store), readonly=True, lock=False)
    assert second.get("fine", "lq")
    del second
    lmdb.open(str(store), readonly=True, lock=False).close()
    third = client(store)
    third.client._client["lq"].close()
    assert third.get("fine", "lq") and client(store).get("fine", "lq")


def test_a_missing_key_is_named(store):
    with pytest.raises(UserError, match=r"key 'nowhere' is not in the LMDB .*pictures\.lmdb"):
        client(store).get("nowhere", "lq")


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_read_what_the_parent_has_open(store, start):
    backend = client(store).client
    read = functools.partial(backend.get, client_key="lq")  # as collate_fn: called in the worker
    assert read("fine") == png(picture())
    loader = DataLoader(
        ["fine", "größe"], batch_size=None, collate_fn=read, num_workers=1, multiprocessing_context=start
    )
    assert list(loader) == [png(picture())] * 2
    assert read("fine") == png(picture())


def test_a_fork_opens_an_environment_of_its_own(store):
    backend, other = client(store).client, client(store, store).client
    inherited = backend._client["lq"]

    def read_in_child():
        assert backend.get("fine", "lq") == other.get("fine", "gt") == png(picture())
        assert backend._client["lq"] is other._client["gt"] is not inherited

    child = multiprocessing.get_context("fork").Process(target=read_in_child)
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert backend.get("fine", "lq") == png(picture()) and backend._client["lq"] is inherited
