"""A damaged or crafted weight file gives its own weights or one line, and never more memory than it has."""

import collections
import io
import os
import pickle
import random
import struct
import zipfile

import pytest
import safetensors.torch
import torch
from torch import nn

from ir_plugins.runtime.errors import UserError
from ir_plugins.weights import archives, check_fits, read_weights, save_weights

WEIGHTS = {
    "a": torch.arange(30.0).reshape(5, 6),
    "b": torch.arange(7),
    "c": torch.ones(3, dtype=torch.float16),
}
DAMAGED = r"^x\.\w+: cannot be read: damaged, or no weight file; name another file$"


def outcome(file):
    """The weights, or None after one clear line."""
    try:
        return read_weights(file)
    except UserError as error:
        assert str(error).startswith(f"{file}: ") and "\n" not in str(error)
        return None


def same(found):
    return found.keys() == WEIGHTS.keys() and all(torch.equal(found[name], WEIGHTS[name]) for name in found)


def zipped(data_pkl, **storages):
    """An archive of torch.save around a pickle."""
    with zipfile.ZipFile("x.pth", "w") as archive:
        for name, content in {"data.pkl": data_pkl, "version": b"3\n", "byteorder": b"little"}.items():
            archive.writestr(f"x/{name}", content)
        for key, content in storages.items():
            archive.writestr(f"x/data/{key[1:]}", content)


def mutated(data, chance):
    """A copy with bits flipped, bytes cut out, doubled, replaced or added."""
    data, kind, at = bytearray(data), chance.randrange(6), chance.randrange(len(data))
    length = chance.choice((1, 4, 8, 50))
    if kind < 2:
        data[at] ^= 1 << chance.randrange(8)
    elif kind == 2:
        data[at : at + length] = chance.randbytes(length)
    elif kind == 3:
        del data[at : at + length]
    elif kind == 4:
        data[at:at] = data[at : at + length]
    else:
        data += chance.randbytes(length)
    return bytes(data)


@pytest.mark.parametrize("file", ["x.pth", "x.safetensors"])
def test_no_damage_changes_our_files_unseen(workplace, file):
    """On the code before, 11 of 12 flipped bits of the weights were read."""
    save_weights(file, WEIGHTS)
    whole, chance = (workplace / file).read_bytes(), random.Random(0)
    refused = 0
    for _ in range(400):
        (workplace / file).write_bytes(mutated(whole, chance))
        found = outcome(file)
        assert found is None or same(found)
        refused += found is None
    assert refused > 200


@pytest.mark.parametrize("file", ["x.safetensors", "x.pth"])
def test_damage_without_checksums_changes_no_size(workplace, file):
    """Files before torch 1.6 and safetensors of others carry none: only their numbers can change."""
    if file == "x.pth":
        torch.save({"params": WEIGHTS}, file, _use_new_zipfile_serialization=False)
    else:
        safetensors.torch.save_file(WEIGHTS, file)
    whole, chance = (workplace / file).read_bytes(), random.Random(1)
    most = sum(value.nbytes for value in WEIGHTS.values())
    for _ in range(300):
        (workplace / file).write_bytes(mutated(whole, chance))
        found = outcome(file)
        assert found is None or sum(v.untyped_storage().nbytes() for v in found.values()) <= most
    for content in (whole + b"\0", whole[:-1], whole + whole):
        (workplace / file).write_bytes(content)
        with pytest.raises(UserError, match=DAMAGED):
            read_weights(file)


OTHERS = {
    "sparse": lambda: torch.eye(3).to_sparse(),
    "rows": lambda: torch.eye(3).to_sparse_csr(),
    "quantised": lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
    "meta": lambda: torch.ones(3, device="meta"),
    "nested": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
}


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.filterwarnings("ignore")
def test_other_tensors_are_named(workplace, kind, old):
    torch.save({"params": {"a": OTHERS[kind]()}}, "x.pth", _use_new_zipfile_serialization=not old)
    name = {"rows": "sparse", "meta": r"empty \(meta\)"}.get(kind, kind)
    with pytest.raises(UserError, match=rf"^x.pth: holds {name} tensors; save it with dense ones"):
        read_weights("x.pth")


def test_complex_weights_are_for_complex_networks(workplace):
    torch.save(nn.Linear(3, 2, dtype=torch.complex64).state_dict(), "x.pth")
    weights = read_weights("x.pth")
    check_fits("x.pth", weights, nn.Linear(3, 2, dtype=torch.complex64))
    for strict in (True, False):
        with pytest.raises(UserError, match="weight has complex numbers there and real ones here"):
            check_fits("x.pth", weights, nn.Linear(3, 2), strict=strict)


@pytest.mark.parametrize("kind", [torch.int32, torch.bool])
def test_whole_numbers_are_no_weights(kind):
    """A header of safetensors that says I32 for F32 passes every other check."""
    weights = {name: value.to(kind) for name, value in nn.Linear(3, 2).state_dict().items()}
    with pytest.raises(UserError, match="weight has whole numbers there and real ones here"):
        check_fits("x.safetensors", weights, nn.Linear(3, 2), strict=False)
    norm = nn.BatchNorm2d(3)
    check_fits("x.safetensors", norm.state_dict(), norm)


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number(value):
    return b"\x8a\x08" + value.to_bytes(8, "little", signed=True)


def tensor(size="M.\x05", offset=0, stride=1, count=5, kind=b"ctorch\nFloatStorage\n", hooks=b"}", key="0"):
    """The pickle of a dict with one tensor; by default a sound one of five floats."""
    storage = b"(" + text("storage") + kind + text(key) + text("cpu") + number(count) + b"tQ"
    sizes = number(5) if isinstance(size, str) else number(size)
    arguments = storage + number(offset) + sizes + b"\x85" + number(stride) + b"\x85" + b"\x89" + hooks
    return b"\x80\x02}" + text("a") + b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tRs."


HUGE = 2**60
DEEP = b"\x80\x02" + b"]" * 5000 + b"a" * 4999 + b"."
TWICE = b"\x80\x02)q\x00" + b"h\x00h\x00\x86q\x00" * 70  # a tuple of two tuples of two tuples ...
CRAFTED = {
    "a bytearray of 2^60": b"\x80\x02cbuiltins\nbytearray\n" + number(HUGE) + b"\x85R.",
    "a tensor of 2^60": b"\x80\x02ctorch\nTensor\n" + number(HUGE) + b"\x85R.",
    "a tensor of 2^33": b"\x80\x02ctorch\nFloatTensor\n" + number(2**33) + b"\x85R.",
    "a text of 2^32": b"\x80\x02X\xff\xff\xff\xff.",
    "bytes of 2^60": b"\x80\x04\x8e" + struct.pack("<Q", HUGE) + b".",
    "a memo of 2^31": b"\x80\x02Nr\xff\xff\xff\x7f0.",
    "lists in lists": DEEP,
    "a list in itself": b"\x80\x02]q\x00h\x00a.",
    "tuples that double": TWICE + b".",
    "a key that hashes for ever": TWICE + b"q\x01}h\x01Ns.",
    "a set that hashes for ever": TWICE + b"q\x01cbuiltins\nset\n]h\x01a\x85R.",
    "a text encoded to be longer": b"\x80\x02c_codecs\nencode\n"
    + text("a" * 99)
    + text("utf-32")
    + b"\x86R.",
    "an attribute over a method": b"\x80\x02ccollections\nOrderedDict\n)R}" + text("items") + b"Nsb.",
    "a storage of 2^60": tensor(count=HUGE),
    "a storage of fewer": tensor(count=4),
    "a storage that is not there": tensor(key="1"),
    "a storage elsewhere": tensor(key="../version"),
    "a view beyond its storage": tensor(size=6),
    "a view of 2^40": tensor(size=2**40),
    "a view from beyond": tensor(offset=1),
    "a stride beyond": tensor(stride=2),
    "a stride below 0": tensor(stride=-1),
    "an offset below 0": tensor(offset=-1),
    "a size below 0": tensor(size=-1),
    "numbers of 8 bytes": tensor(kind=b"ctorch\nDoubleStorage\n"),
    "hooks": tensor(hooks=b"}K\x00K\x01s"),
    "nothing": b"",
    "no end": tensor()[:-1],
}


@pytest.mark.parametrize("case", CRAFTED)
def test_a_crafted_pickle_is_refused_at_once(workplace, case, memory_bounded):
    zipped(CRAFTED[case], _0=bytes(20))
    with pytest.raises(UserError, match=r"^x.pth: (cannot be read: damaged|holds code \(\w[\w.]*\))"):
        read_weights("x.pth")


@pytest.mark.parametrize("case", CRAFTED)
def test_a_crafted_pickle_of_the_old_form_is_refused_at_once(workplace, case, memory_bounded):
    torch.save({}, "x.pth", _use_new_zipfile_serialization=False)
    content = CRAFTED[case].replace(b"tQ", b"NtQ")
    head = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2)
    tail = pickle.dumps(["0"], 2) + struct.pack("<q", 5) + bytes(20)
    (workplace / "x.pth").write_bytes(head + content + tail)
    with pytest.raises(UserError, match=r"^x.pth: (cannot be read: damaged|holds code \(\w[\w.]*\))"):
        read_weights("x.pth")


@pytest.fixture
def memory_bounded():
    """A gigabyte more than this process has now, where that can be set."""
    resource = pytest.importorskip("resource")
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + (1 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def test_a_sound_pickle_of_that_kind_is_read(workplace):
    zipped(tensor(), _0=struct.pack("<5f", *range(5)))
    assert torch.equal(read_weights("x.pth")["a"], torch.arange(5.0))


@pytest.mark.parametrize("extra", ["x/data/0", "X/DATA/0"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_records_of_one_name(workplace, extra):
    zipped(tensor(), _0=struct.pack("<5f", *range(5)))
    with zipfile.ZipFile("x.pth", "a") as archive:
        archive.writestr(extra, bytes(20))
    with pytest.raises(UserError, match=DAMAGED):
        read_weights("x.pth")


def test_a_packed_archive(workplace):
    with zipfile.ZipFile("x.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", tensor(count=10**8))
        archive.writestr("x/data/0", bytes(4 * 10**6))
    with pytest.raises(UserError, match=r"^x.pth: cannot be read: it is a packed archive; unpack it"):
        read_weights("x.pth")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX's")
@pytest.mark.parametrize("file", ["x.pth", "x.safetensors"])
def test_a_pipe_is_not_waited_for(workplace, file):
    os.mkfifo(file)
    with pytest.raises(UserError, match=f"^{file}: cannot be read: it is a named pipe, not a file$"):
        read_weights(file)


def test_everything_that_torch_saves_is_still_read(workplace):
    net = nn.BatchNorm2d(3)
    parameter = nn.Parameter(torch.ones(2))
    parameter.note = "of its own"
    other = {
        "counter": collections.Counter([3, 3]),
        "size": torch.Size([2, 3]),
        "bytes": b"\xff\0",
        "set": {1, 2},
        "nested": [{"a": (1, 2.5, None, True)}, torch.float16, torch.device("cpu"), 3j, 2**62],
        ("a", 1): collections.OrderedDict(b=1),
        "twice": [net.state_dict()] * 2,
        "part": torch.arange(10)[2:5],
        "turned": torch.ones(2, 3).T,
        "none": torch.zeros(0, 3),
        "rng": torch.get_rng_state(),
    }
    for old in (True, False):
        # torch saves these in the old form, but does not load them
        other |= (
            {}
            if old
            else {"float8": torch.zeros(3, dtype=torch.float8_e5m2), "uint16": torch.ones(3).to(torch.uint16)}
        )
        content = {"params": net.state_dict() | {"own": parameter}, "other": other}
        torch.save(content, "x.pth", _use_new_zipfile_serialization=not old)
        found = read_weights("x.pth", "params")
        assert torch.equal(found["running_var"], net.running_var) and torch.equal(found["own"], parameter)
    stream = io.BytesIO()
    torch.save(WEIGHTS, stream)  # no name of an archive
    (workplace / "x.pth").write_bytes(stream.getvalue())
    assert same(read_weights("x.pth"))


def test_safetensors_of_others_are_not_hashed(workplace, monkeypatch):
    """It takes a second for 500 MB, and there is nothing to compare with."""
    safetensors.torch.save_file(WEIGHTS, "x.safetensors")
    monkeypatch.delattr(archives, "digest_of")
    assert same(read_weights("x.safetensors"))


def test_safetensors_with_a_header_that_lies(workplace):
    whole = safetensors.torch.save(WEIGHTS)
    for old, new in ((b"[5,6]", b"[6,6]"), (b'"F32"', b'"F64"'), (b"[0,", b"[8,"), (b'"I64"', b'"I99"')):
        assert old in whole
        (workplace / "x.safetensors").write_bytes(whole.replace(old, new))
        with pytest.raises(UserError, match=DAMAGED):
            read_weights("x.safetensors")
    for length in (0, 2**27, 2**60):
        (workplace / "x.safetensors").write_bytes(struct.pack("<Q", length) + whole[8:])
        with pytest.raises(UserError, match=DAMAGED):
            read_weights("x.safetensors")
