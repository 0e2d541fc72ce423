# SPDX-License-Identifier: Apache-2.0
"""Draws the pictures of docs/axes.md: python3 bench/axes_pictures.py docs

A tensor is a grid of cells; what one unit of an axis owns is coloured in every tensor that mentions the axis.
"""
import pathlib
import sys

CELL = 11
STYLE = """<style>
text { font: 13px ui-sans-serif, system-ui, sans-serif; fill: #1d2125 } .s { fill: #666e77; font-size: 12px }
.m { font-family: ui-monospace, Menlo, monospace; font-size: 12px }
.c { fill: #e6ebec; stroke: #fbfbfa } .a { fill: #1f7a80 } .b { fill: #c8553d } .ab { fill: #6a4c7d } .k { stroke: #666e77; fill: none }
@media (prefers-color-scheme: dark) { text { fill: #e4e7ea } .s { fill: #98a1aa } .c { fill: #2b3137; stroke: #14171a }
.a { fill: #56b6bd } .b { fill: #e07a63 } .ab { fill: #b093c4 } .k { stroke: #98a1aa } }
</style>"""


class Picture:
    def __init__(self, width, height):
        self.parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
                      f'height="{height}">', STYLE]

    def text(self, x, y, text, kind="", anchor="start"):
        self.parts.append(f'<text x="{x}" y="{y}" class="{kind}" text-anchor="{anchor}">{text}</text>')

    def tensor(self, x, y, rows, columns, name, terms, a_rows=(), a_columns=(), b_rows=(), b_columns=()):
        """Cells of the marked rows and columns in the colours of the axes a and b."""
        self.text(x, y - 24, name, "m")
        self.text(x, y - 8, terms, "s")
        for r in range(rows):
            for c in range(columns):
                a, b = r in a_rows or c in a_columns, r in b_rows or c in b_columns
                kind = "ab" if a and b else "a" if a else "b" if b else "c"
                self.parts.append(f'<rect class="{kind}" x="{x + CELL * c}" y="{y + CELL * r}" '
                                  f'width="{CELL - 1}" height="{CELL - 1}"/>')

    def bracket(self, x, y, cells, label):
        low, high = y, y + CELL * cells - 2
        self.parts.append(f'<path class="k" d="M{x} {low}h-5V{high}h5"/>')
        self.text(x - 9, (low + high) / 2 + 4, label, "s", "end")

    def write(self, path):
        path.write_text("\n".join(self.parts + ["</svg>"]) + "\n")


def residual(path):
    p = Picture(720, 190)
    p.text(0, 16, "One axis: unit 2 of the residual stream a, wherever it is mentioned")
    p.tensor(0, 76, 8, 3, "stem.weight", "a \u00d7 3!", a_rows={2})
    p.tensor(130, 76, 5, 8, "up.weight", "b \u00d7 a", a_columns={2})
    p.tensor(290, 76, 8, 5, "down.weight", "a \u00d7 b", a_rows={2})
    p.tensor(430, 76, 8, 1, "norm.weight", "a", a_rows={2})
    p.tensor(560, 76, 4, 8, "fc.weight", "10! \u00d7 a", a_columns={2})
    p.write(path)


def qkv(path):
    heads, d = 3, 3
    p = Picture(720, 420)
    p.text(0, 16, "A packed projection: rows are (3! \u00d7 h \u00d7 d). Removing a head (left), a dimension of every head (right)")
    head = {part * heads * d + 1 * d + k for part in range(3) for k in range(d)}
    dims = {part * heads * d + h * d + 2 for part in range(3) for h in range(heads)}
    for x, rows, columns, kind in [(70, head, {3, 4, 5}, "a"), (430, dims, {2, 5, 8}, "b")]:
        marks = {f"{kind}_rows": rows}
        p.tensor(x, 86, 27, 9, "in_proj.weight", "(3! \u00d7 h \u00d7 d) \u00d7 model", **marks)
        p.tensor(x + 150, 86, 9, 9, "out_proj.weight", "model \u00d7 (h \u00d7 d)", **{f"{kind}_columns": columns})
        for part, name in enumerate(["q", "k", "v"]):
            p.bracket(x - 6, 86 + CELL * heads * d * part, heads * d, name)
    p.write(path)


def concat(path):
    p = Picture(720, 210)
    p.text(0, 16, "A sum: what reads a concatenation has columns (a + b); each part keeps its own units")
    p.tensor(0, 86, 5, 3, "left.weight", "a \u00d7 in", a_rows={1})
    p.tensor(130, 86, 4, 3, "right.weight", "b \u00d7 in", b_rows={2})
    p.tensor(290, 86, 6, 9, "after_cat.weight", "out \u00d7 (a + b)", a_columns={1}, b_columns={7})
    p.tensor(490, 86, 2, 20, "after_flatten.weight", "out \u00d7 (a \u00d7 4!)", a_columns={4, 5, 6, 7})
    p.write(path)


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    residual(folder / "axes_residual.svg")
    qkv(folder / "axes_qkv.svg")
    concat(folder / "axes_concat.svg")
