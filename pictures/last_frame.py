"""Prints the text of the last frame of an animated SVG made by svg-term, with numbers and bars replaced."""

import re
import sys
import xml.etree.ElementTree as ET

SVG = "{http://www.w3.org/2000/svg}"
LINK = "{http://www.w3.org/1999/xlink}href"


def words(element, symbols, x=0.0, y=0.0):
    """Yields each word of an element with its row and column."""
    for child in element:
        at = (x + float(child.get("x", 0)), y + float(child.get("y", 0)))
        if child.tag == SVG + "text":
            yield round(at[1], 1), at[0], child.text or ""
        elif child.tag == SVG + "use" and child.get(LINK, "#")[1:] in symbols:
            yield from words(symbols[child.get(LINK)[1:]], symbols, *at)


root = ET.parse(sys.argv[1]).getroot()
symbols = {symbol.get("id"): symbol for symbol in root.iter(SVG + "symbol")}
frames = [g for g in root.iter(SVG + "svg") if g.find(SVG + "text") is not None or g.find(SVG + "use") is not None]
rows = {}
for row, column, text in words(frames[-1], symbols, -float(frames[-1].get("x", 0))):
    rows.setdefault(row, []).append((column, text))
assert rows, "there is no text"
for row in sorted(rows):
    line = " ".join(text for _, text in sorted(rows[row]))
    line = re.sub(r"\d+", "0", re.sub(r"[━╸╺#>-]{2,}", "=", line))
    print(line)
