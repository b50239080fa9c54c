"""Package metadata, in this one place.  The versions everything is tested with are in constraints.txt."""

from setuptools import find_packages, setup

setup(
    name="ir_plugins",
    version="0.1.0",
    description="SemanIR, AST and Restormer for BasicSR, on modern PyTorch",
    license="Apache-2.0",
    # PyPI's basicsr 1.4.2 cannot be built on 3.13: its setup.py reads locals() after exec()
    python_requires=">=3.10,<3.13",
    packages=find_packages(include=["ir_plugins", "ir_plugins.*"]),
    package_data={"ir_plugins.commands": ["names.json"], "ir_plugins.reports": ["*.html"]},
    install_requires=[
        "basicsr>=1.4.2",
        "torch>=2.7",
        "einops",
        "lmdb",
        "safetensors",
        "opencv-python",
        "pyyaml",
        "docstring-parser",
        "numpy",
        "addict",
        # not asked for, but brought by basicsr anyway: progress bars, and a look at image headers
        "tqdm",
        "pillow>=10.1",
        # brought by torch: the page of a training report
        "jinja2",
        # not ours: the viewer of basicsr's tb-nightly imports pkg_resources, which setuptools 82 removed
        "setuptools<82",
    ],
    extras_require={
        "metrics": ["lpips", "DISTS_pytorch"],
        "dev": ["pytest", "pytest-xdist", "ruff", "jsonschema", "onnx", "onnxscript", "onnxruntime", "h5py"],
        "results": ["bm3d"],  # ten_minutes.py denoise
        "dnd": ["h5py"],  # prepare_data.py DND
        "lint": ["pyright[nodejs]"],
    },
    entry_points={"console_scripts": ["basicsr = ir_plugins.cli:main"]},
)
