"""The layouts of published sets of pairs, by their authors and by people who collected them."""

from .sources import Layout


def pairs(*places: str, input: str = "input", target: str = "target") -> tuple[Layout, ...]:
    """Pairs of equal name in two folders, in any of several places.

    Args:
        places: Folders below --source, each ending in "/" or empty.
        input: The folder of the inputs.
        target: The folder of the targets.
    """
    return tuple(Layout({"input": f"{place}{input}/*", "target": f"{place}{target}/*"}) for place in places)


RAIN100 = (
    Layout({"input": "rain/rain-*", "target": "norain/norain-*"}),
    Layout({"input": "rain/*", "target": "norain/*"}),
    Layout({"input": "rain-*", "target": "norain-*"}),
)


def gopro(split: str) -> tuple[Layout, ...]:
    """GOPRO_Large, the names of its scenes put before the frames' names; or collected in two folders."""
    scenes = Layout({"input": f"{split}/*/blur/*", "target": f"{split}/*/sharp/*"})
    return (scenes, *pairs(f"{split}/", f"{split}/GoPro/", f"GoPro/{split}/"))


SIDD = tuple(
    Layout({"input": f"{place}*NOISY*", "target": f"{place}*GT*"}, named_after_input=True)
    for place in ("Data/<any>/", "<any>/", "")
)


def dpdd(split: str) -> tuple[Layout, ...]:
    """The left, right and centre view, and the sharp picture."""
    authors = {view: f"{split}_{view[-1].lower()}/source/*" for view in ("inputL", "inputR", "inputC")}
    layouts = [authors | {"target": f"{split}_c/target/*"}]
    for place in (f"{split}/", f"{split}/DPDD/", f"DPDD/{split}/"):
        layouts.append({role: f"{place}{role}/*" for role in ("inputL", "inputR", "inputC", "target")})
    # the authors number every photograph, so the sharp one has another name than the blurred
    return tuple(Layout(layout, by_order=True) for layout in layouts)


def raindrop(split: str) -> tuple[Layout, ...]:
    """AGAN-Data: 0_rain belongs to 0_clean."""
    sides = (("data/*_rain", "gt/*_clean"), ("input/*", "target/*"), ("input/*", "gt/*"))
    return tuple(Layout({"input": f"{split}/{rain}", "target": f"{split}/{gt}"}) for rain, gt in sides)


def dense_haze(split: str, numbers: range) -> tuple[Layout, ...]:
    """A folder for each split, or one folder for all, split by the pictures' numbers.

    Args:
        split: train, val or test.
        numbers: Numbers of the split's pictures.
    """
    return (
        *pairs(f"{split}_dense/", f"{split}/", target="gt"),
        *pairs(f"{split}/"),
        Layout({"input": "hazy/*_hazy", "target": "GT/*_GT"}, numbers=numbers),
        Layout({"input": "*_hazy", "target": "*_GT"}, numbers=numbers),
    )


def weather(place: str) -> tuple[Layout, ...]:
    """The test sets of AllWeather, collected or as their authors publish them."""
    # fifteen rains of each Outdoor-Rain picture: im_0001_s80_a04 belongs to im_0001
    outdoor = [
        Layout(
            {"input": f"{place}/{rain}/*_s<any>_a<any>", "target": f"{place}/gt/*"}, named_after_input=True
        )
        for rain in ("input", "in")
    ]
    return (
        *pairs(f"{place}/"),
        *outdoor,
        *pairs(f"{place}/", target="gt"),
        *pairs(f"{place}/", input="synthetic", target="gt"),
    )
