"""Tiny made-up copies of every set, laid out as distributed: what scripts/prepare_data.py starts from."""

from pathlib import Path

import cv2
import numpy as np
import scipy.io

PICTURES = {"Set5", "Set14", "BSD100", "Urban100", "Manga109", "CBSD68", "Kodak24", "McMaster", "LIVE1"}
GRAY = {"Set12", "BSD68", "Classic5"}
PAIRS = {"Rain13K", "Test100", "Test1200", "Test2800"}


def write_layout(preset: str, folder: Path, size: tuple[int, int] = (37, 41)) -> list[Path]:
    """Write a preset's source of pictures of `size` (H, W) below `folder`; return the --source folders."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if preset == "DF2K":
        pictures(folder, ["DIV2K/0001.png", "Flickr2K/000001.png"], size)
        return [folder / "DIV2K", folder / "Flickr2K"]
    if preset == "DFWB":
        pictures(folder, ["DIV2K/0001.png", "Flickr2K/000001.png", "BSD400/1.jpg", "WED/00001.bmp"], size)
        return [folder / name for name in ("DIV2K", "Flickr2K", "BSD400", "WED")]
    if preset in PICTURES:
        pictures(folder, ["one.png", "two.png", "three.png"], size)
    elif preset in GRAY:
        pictures(folder, ["01.png", "02.png"], size, gray=True)
    elif preset == "BSDS500":
        pictures(folder, ["data/images/test/2018.jpg", "data/images/test/3063.jpg"], size)
        pictures(folder, ["data/images/train/2092.jpg"], size)
    elif preset in PAIRS:
        both(folder, ["input/1.jpg", "input/2.png"], ["target/1.jpg", "target/2.png"], size)
    elif preset in ("Rain100H", "Rain100L"):
        both(
            folder,
            ["rain/rain-001.png", "rain/rain-2.png"],
            ["norain/norain-001.png", "norain/norain-2.png"],
            size,
        )
    elif preset == "GoPro":
        for split in ("train", "test"):
            for scene in ("GOPR0001_11_00", "GOPR0002_11_00"):
                base = folder / split / scene
                both(
                    base,
                    ["blur/000001.png", "blur/000002.png"],
                    ["sharp/000001.png", "sharp/000002.png"],
                    size,
                )
    elif preset == "HIDE":
        inputs = ["test/test-close-ups/1fromGOPR.png", "test/test-long-shot/2fromGOPR.png"]
        both(folder, inputs, ["GT/1fromGOPR.png", "GT/2fromGOPR.png", "GT/3oftrain.png"], size)
    elif preset.startswith("RealBlur"):
        letter = preset[-1]
        top = f"RealBlur-{letter}_ECC_IMCORR_centroid_itensity_ref"
        pairs = [
            (f"{top}/scene00{i}/blur/blur_{n}.png", f"{top}/scene00{i}/gt/gt_{n}.png")
            for i in (1, 2)
            for n in (1, 2)
        ]
        both(folder, [blur for blur, _ in pairs], [gt for _, gt in pairs], size)
        lines = "\n".join(f"{gt} {blur}" for blur, gt in pairs[2:])
        (folder / f"{preset}_test_list.txt").write_text(lines)
    elif preset == "SIDD":
        for scene, number in (("0001_001_S6_00100", "0001"), ("0002_001_S6_00100", "0002")):
            base = folder / "SIDD_Medium_Srgb/Data" / scene
            both(base, [f"{number}_NOISY_SRGB_010.PNG"], [f"{number}_GT_SRGB_010.PNG"], size)
        for seed, name in enumerate(("ValidationNoisyBlocksSrgb", "ValidationGtBlocksSrgb")):
            blocks = np.random.default_rng(seed).integers(0, 256, (2, 3, *size, 3), dtype=np.uint8)
            scipy.io.savemat(folder / f"blocks_{name}.mat", {name: blocks})
            (folder / f"blocks_{name}.mat").rename(folder / f"{name}.mat")
        return [folder / "SIDD_Medium_Srgb", folder]
    elif preset == "DND":
        write_dnd(folder, size)
    elif preset == "SPAD":
        both(
            folder,
            ["real_world/1/1.png", "real_world/1/2.png"],
            ["real_world_gt/1/1.png", "real_world_gt/1/2.png"],
            size,
        )
        both(folder, ["real_test/rain/1.png"], ["real_test/gt/1.png"], size)
        lines = "\r\n".join(f"/real_world/1/{n}.png /real_world_gt/1/{n}.png" for n in (1, 2))
        (folder / "real_world.txt").write_bytes(lines.encode())  # no line break at the end
        (folder / "real_test_1000.txt").write_text("/real_test/rain/1.png /real_test/gt/1.png\n")
    elif preset == "DPDD":
        write_dpdd(folder, size)
    elif preset == "Raindrop":
        for split, suffix in (("train", "png"), ("test_a", "png"), ("test_b", "jpg")):
            both(
                folder / split,
                [f"data/{n}_rain.{suffix}" for n in (0, 1)],
                [f"gt/{n}_clean.{suffix}" for n in (0, 1)],
                size,
            )
    elif preset == "Dense-Haze":
        numbers = [f"{n:02d}" for n in (1, 45, 46, 50, 51, 55)]
        both(folder, [f"hazy/{n}_hazy.png" for n in numbers], [f"GT/{n}_GT.png" for n in numbers], size)
    elif preset == "AllWeather":
        (folder / "allweather.txt").write_text("/input/0_rain.png\n/input/im_1.jpg")
        pictures(folder / "allweather", ["input/not_listed.png", "gt/not_listed.png"], size)
        both(
            folder / "allweather",
            ["input/0_rain.png", "input/im_1.jpg"],
            ["gt/0_rain.png", "gt/im_1.jpg"],
            size,
        )
        both(
            folder / "Test1",
            ["input/im_0001_s80_a04.png", "input/im_0001_s80_a05.png"],
            ["gt/im_0001.png"],
            size,
        )
        both(folder / "Snow100K-L", ["synthetic/city_1.jpg"], ["gt/city_1.jpg"], size)
        both(folder / "RainDrop", ["input/0_rain.png"], ["gt/0_rain.png"], size)
    else:
        raise KeyError(f"{preset}: tests/layouts.py does not know how it is laid out")
    return [folder]


def picture(name: str, size: tuple[int, int], *, gray: bool = False, bits: int = 8) -> np.ndarray:
    """Smooth noise (H, W[, 3]) that depends on the name."""
    noise = np.random.default_rng(list(name.encode())).random((*size, 1 if gray else 3)).astype(np.float32)
    smooth = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 1.5), None, 0, 1, cv2.NORM_MINMAX)
    return np.round(smooth * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)


def pictures(folder: Path, names: list[str], size: tuple[int, int], **options) -> None:
    for name in names:
        file = Path(folder, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        content = cv2.imencode(file.suffix, picture(name, size, **options))[1]
        file.write_bytes(content.tobytes())  # OpenCV itself cannot write every name everywhere


def both(folder: Path, inputs: list[str], targets: list[str], size: tuple[int, int], **options) -> None:
    pictures(folder, [*inputs, *targets], size, **options)


def write_dpdd(folder: Path, size: tuple[int, int]) -> None:
    """As its authors pack it: three views, and a sharp picture of another name."""
    for split, count in (("train", 2), ("val", 2), ("test", 3)):
        for view in "lrc":
            names = [f"{split}_{view}/source/1P0A{n:04d}.png" for n in range(1, 2 * count, 2)]
            pictures(folder, names, size, bits=16)
        names = [f"{split}_c/target/1P0A{n:04d}.png" for n in range(2, 2 * count + 1, 2)]
        pictures(folder, names, size, bits=16)
    np.save(folder / "indoor_labels.npy", np.array([1, 3]))
    np.save(folder / "outdoor_labels.npy", np.array([2]))


def write_dnd(folder: Path, size: tuple[int, int]) -> None:
    """Two images of MATLAB 7.3 with three boxes each; needs h5py."""
    import h5py

    (folder / "images_srgb").mkdir(parents=True, exist_ok=True)
    h, w = size
    boxes = np.array([[1, 1, 11, 13], [h - 10, w - 12, h, w], [5, 3, 15, 15]], np.float64)
    with h5py.File(folder / "info.mat", "w") as file:
        references = []
        for number in (1, 2):
            file[f"boxes/{number}"] = boxes.T
            references.append(file[f"boxes/{number}"].ref)
        info = file.create_group("info")
        info.create_dataset("boundingboxes", data=np.array([references], object), dtype=h5py.ref_dtype)
    for number in (1, 2):
        image = np.random.default_rng(number).random((h, w, 3)).astype(np.float32)
        with h5py.File(folder / f"images_srgb/{number:04d}.mat", "w") as file:
            file["InoisySRGB"] = image.T
