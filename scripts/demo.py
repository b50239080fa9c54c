"""Train a small SemanIR x2 on the photographs that scikit-image ships, then look at two that it never saw.

Every step is a command that a user would type; this script prints it and runs it.  Everything it writes lies
below the current directory, in demo/, experiments/demo, results/demo and tb_logger/demo.
"""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import skimage
from PIL import Image, ImageDraw, ImageFont

from ir_plugins.data.resize import imresize
from ir_plugins.pictures.writing import write_picture

from basicsr.metrics import calculate_psnr, calculate_ssim
from basicsr.utils import imfrombytes

HELD_OUT = ("chelsea", "coffee")
TRAINING = (
    *("astronaut", "brick", "camera", "coins", "color", "grass", "gravel"),
    *("ihc", "moon", "motorcycle_left", "motorcycle_right", "rocket"),
)
SCALE, DETAIL = 2, 64  # DETAIL: side of the zoomed crop, in pixels
SCRIPTS = Path(__file__).parent
DEMO = Path("demo")
OPTIONS = SCRIPTS.parent / "options/demo.yml"


def main() -> None:
    start = time.time()
    shutil.rmtree(DEMO, ignore_errors=True)
    gather_photographs()
    prepare = f"{SCRIPTS / 'prepare_sr.py'} --scales {SCALE} --input demo"
    run(f"{prepare}/photographs --output demo/data --name photographs --crop_size 96 --step 96")
    run(f"{prepare}/held_out --output demo/data/held_out --name held_out --whole")
    for folder in ("photographs_HR_sub", f"photographs_LR_bicubic_X{SCALE}_sub"):
        run(f"basicsr lmdb --input demo/data/{folder} --output demo/data/{folder}.lmdb")
    run(f"basicsr train -opt {OPTIONS}")
    weights = "path:pretrain_network_g=experiments/demo/models/net_g_latest.pth"
    run(f"basicsr test -opt {OPTIONS} --force_yml {weights} val:save_img=true val:pbar=true")
    show(time.time() - start)


def gather_photographs() -> None:
    """Copy scikit-image's photographs as colour PNGs: twelve to train on, two held out."""
    source = Path(skimage.__file__).parent / "data"
    for folder, names in (("photographs", TRAINING), ("held_out", HELD_OUT)):
        (DEMO / folder).mkdir(parents=True)
        for name in names:
            file = next(source.glob(f"{name}.*"))
            write_picture(DEMO / folder / f"{name}.png", read(file))


def read(file: Path) -> np.ndarray:
    """A picture (H, W, 3), uint8, BGR."""
    return np.asarray(imfrombytes(file.read_bytes()))


def run(command: str) -> None:
    """Show a command as a user would type it, then run it with this Python; stop where it fails."""
    program, *arguments = command.split()
    if program == "basicsr":
        arguments = ["-m", "ir_plugins", *arguments]
    else:
        arguments = [program, *arguments]
        command = f"python {command}"
    print(f"\n$ {command}", flush=True)
    status = subprocess.run([sys.executable, *arguments]).returncode
    if status:
        sys.exit(status)


def show(seconds: float) -> None:
    """Print the table, draw the picture and say what to run next."""
    print(f"\n{'held-out photograph':20} {'bicubic':>15} {'SemanIR':>15} {'gain':>9}")
    print(f"{'':20} {'PSNR-Y   SSIM-Y':>15} {'PSNR-Y   SSIM-Y':>15} {'PSNR-Y':>9}")
    scores, rows = [], []
    for name in HELD_OUT:
        gt = read(DEMO / f"data/held_out/GTmod{SCALE}/{name}.png")
        lq = read(DEMO / f"data/held_out/LRbicx{SCALE}/{name}.png")
        pictures = {
            "bicubic": imresize(lq, SCALE),
            "SemanIR": read(Path(f"results/demo/visualization/held_out/{name}_demo.png")),
            "ground truth": gt,
        }
        score = [measure(pictures[way], gt) for way in ("bicubic", "SemanIR")]
        scores.append(score)
        print_row(name, score)
        rows.append(draw(pictures, [f"{psnr:.2f} dB" for psnr, _ in score] + [""]))
    print_row("mean", np.mean(scores, axis=0))
    picture = DEMO / "comparison.png"
    stack(rows).save(picture)
    print(f"\nPicture: {picture}    Whole demo: {seconds:.0f} s")
    print(
        "\nNext (after `source .venv/bin/activate`):\n"
        "  tensorboard --logdir tb_logger                      the training curves\n"
        "  basicsr train -opt options/demo.yml --force_yml name=longer train:total_iter=9000 "
        "train:scheduler:periods=[9000]\n"
        "  basicsr list archs                                  what else can be trained\n"
        "  basicsr train -opt options/train_SemanIR_SR.yml     the paper's network; see its header"
    )


def measure(picture: np.ndarray, gt: np.ndarray) -> tuple[float, float]:
    """PSNR and SSIM on the Y channel without a border of SCALE pixels, the protocol of the papers."""
    options = {"crop_border": SCALE, "test_y_channel": True}
    return calculate_psnr(picture, gt, **options), calculate_ssim(picture, gt, **options)


def print_row(name: str, score) -> None:
    (psnr_bicubic, ssim_bicubic), (psnr, ssim) = score
    gain = psnr - psnr_bicubic
    print(f"{name:20} {psnr_bicubic:6.2f}   {ssim_bicubic:.4f} {psnr:6.2f}   {ssim:.4f} {gain:+6.2f} dB")


def draw(pictures: dict[str, np.ndarray], notes: list[str], margin: int = 8) -> Image.Image:
    """Pictures side by side, and below each the crop where bicubic errs most, enlarged to the picture's
    width.
    """
    gt = pictures["ground truth"]
    h, w = gt.shape[:2]
    # blurred a little, so that edges count and not the noise that nothing can restore
    error = np.abs(cv2.blur(gt.astype(np.float32) - pictures["bicubic"], (3, 3))).mean(-1)
    centre = cv2.blur(error, (DETAIL, DETAIL))[DETAIL:-DETAIL, DETAIL:-DETAIL]
    top, left = (int(v) + DETAIL // 2 for v in np.unravel_index(centre.argmax(), centre.shape))
    zoom = w // DETAIL
    side, title = DETAIL * zoom, 30
    canvas = Image.new("RGB", (3 * w + 4 * margin, h + side + title + 3 * margin), "white")
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(20)
    for column, ((name, picture), note) in enumerate(zip(pictures.items(), notes, strict=True)):
        x = margin + column * (w + margin)
        whole = Image.fromarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
        detail = whole.crop((left, top, left + DETAIL, top + DETAIL)).resize(
            (side, side), Image.Resampling.NEAREST
        )
        pen.text((x, margin), f"{name}  {note}", fill="black", font=font)
        canvas.paste(whole, (x, title + margin))
        box = (x + left, title + margin + top, x + left + DETAIL, title + margin + top + DETAIL)
        pen.rectangle(box, outline="red", width=2)
        detail = detail.resize((side, side), Image.Resampling.NEAREST)
        canvas.paste(detail, (x + (w - side) // 2, title + h + 2 * margin))
    return canvas


def stack(rows: list[Image.Image]) -> Image.Image:
    canvas = Image.new("RGB", (max(r.width for r in rows), sum(r.height for r in rows)), "white")
    top = 0
    for row in rows:
        canvas.paste(row, (0, top))
        top += row.height
    return canvas


if __name__ == "__main__":
    main()
