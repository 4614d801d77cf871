"""Colours, type and spacing. System fonts only: the page asks no other server for anything."""

from __future__ import annotations

from gradio.themes import Base, Color, Font, sizes

from kimi_demo.ui.scripts import STATIC

TIDE = Color(
    c50="#eefbf9", c100="#d3f4ef", c200="#a9e7df", c300="#74d3c9", c400="#3fb8ae",
    c500="#1d9c94", c600="#107d78", c700="#0f6462", c800="#114f4f", c900="#134242",
    c950="#052626", name="tide",
)  # fmt: skip
INK = Color(
    c50="#f8f8f6", c100="#f1f1ee", c200="#e3e3df", c300="#cdcdc8", c400="#9d9e9b",
    c500="#70726f", c600="#555755", c700="#3b3d3d", c800="#202325", c900="#16191b",
    c950="#0e1012", name="ink",
)  # fmt: skip
SANS = ("system-ui", "-apple-system", "Segoe UI", "PingFang SC", "Microsoft YaHei",
        "Noto Sans CJK SC", "sans-serif")  # fmt: skip
MONO = ("ui-monospace", "SF Mono", "Consolas", "monospace")


def theme() -> Base:
    """A quiet paper-and-ink look with one accent, in light and dark."""
    return Base(
        primary_hue=TIDE,
        secondary_hue=TIDE,
        neutral_hue=INK,
        radius_size=sizes.radius_lg,
        font=[Font(name) for name in SANS],
        font_mono=[Font(name) for name in MONO],
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_width="1px",
        block_border_color="*neutral_200",
        block_border_color_dark="*neutral_800",
        block_shadow="none",
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_500",
        button_border_width="1px",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_400",
        block_title_text_color="*neutral_600",
        block_title_text_color_dark="*neutral_400",
        block_title_text_weight="500",
        input_background_fill="white",
        input_background_fill_dark="*neutral_900",
        input_border_color="*neutral_200",
        input_border_color_dark="*neutral_800",
        input_border_color_focus="*primary_500",
        input_border_color_focus_dark="*primary_400",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_500",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
        button_secondary_background_fill="white",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_dark="*neutral_800",
        button_secondary_background_fill_hover_dark="*neutral_700",
        button_secondary_border_color="*neutral_200",
        button_secondary_border_color_dark="*neutral_700",
        slider_color="*primary_600",
        slider_color_dark="*primary_500",
    )


def css() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(STATIC.glob("*.css")))
