"""Makes roboto.ttf, the font of the sheets and curves, from Debian's Roboto-Regular.ttf.

    apt-get download fonts-roboto-unhinted && dpkg-deb -x fonts-roboto-unhinted_*.deb roboto
    pip install fonttools==4.68.0
    python subset.py roboto/usr/share/fonts/truetype/roboto/unhinted/RobotoTTF/Roboto-Regular.ttf roboto.ttf

Kept: Latin, Greek, Cyrillic and common punctuation, as unhinted outlines. The crate that draws (ab_glyph) reads kerning only
from the old `kern` table, so the pairs of printable ASCII are copied there from GPOS.
"""

import sys
from itertools import product

from fontTools import subset
from fontTools.ttLib import TTFont, newTable
from fontTools.ttLib.tables._k_e_r_n import KernTable_format_0

RANGES = [
    (0x20, 0x7E), (0xA0, 0x17F), (0x218, 0x21B), (0x384, 0x3CE), (0x400, 0x45F), (0x490, 0x491), (0x1EA0, 0x1EF9),
    (0x2010, 0x2027), (0x2030, 0x2030), (0x2032, 0x2033), (0x2039, 0x203A), (0x2044, 0x2044), (0x20AC, 0x20AC),
    (0x2122, 0x2122), (0x2212, 0x2212), (0x2248, 0x2248), (0x2260, 0x2260), (0x2264, 0x2265), (0xFFFD, 0xFFFD),
]


def kerning(font, glyphs):
    """The horizontal advance that GPOS takes from each pair of these glyphs; the first subtable that knows a pair decides."""
    pairs = {}
    gpos = font["GPOS"].table
    wanted = {index for record in gpos.FeatureList.FeatureRecord if record.FeatureTag == "kern" for index in record.Feature.LookupListIndex}
    for index in sorted(wanted):
        for table in gpos.LookupList.Lookup[index].SubTable:
            table = getattr(table, "ExtSubTable", table)
            if table.LookupType != 2:
                continue
            first = [glyph for glyph in glyphs if glyph in table.Coverage.glyphs]
            for left, right in product(first, glyphs):
                if (left, right) in pairs:
                    continue
                if table.Format == 1:
                    records = table.PairSet[table.Coverage.glyphs.index(left)].PairValueRecord
                    value = next((record.Value1 for record in records if record.SecondGlyph == right), None)
                    if value is None:
                        continue
                else:
                    row = table.Class1Record[table.ClassDef1.classDefs.get(left, 0)]
                    value = row.Class2Record[table.ClassDef2.classDefs.get(right, 0)].Value1
                pairs[left, right] = getattr(value, "XAdvance", 0) if value else 0
    return {pair: value for pair, value in pairs.items() if value}


def main(source, target):
    font = TTFont(source, recalcTimestamp=False)
    cmap = font.getBestCmap()
    pairs = kerning(font, [cmap[code] for code in range(0x21, 0x7F)])
    options = subset.Options(layout_features=[], hinting=False, notdef_outline=True, glyph_names=False)
    options.drop_tables += ["GDEF", "GPOS", "GSUB"]
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=[code for low, high in RANGES for code in range(low, high + 1)])
    cutter.subset(font)
    table = KernTable_format_0(apple=False)
    table.coverage, table.tupleIndex, table.kernTable = 1, None, pairs
    font["kern"] = newTable("kern")
    font["kern"].version, font["kern"].kernTables = 0, [table]
    font.save(target)
    print(f"{target}: {len(font.getGlyphOrder())} glyphs, {len(pairs)} kerning pairs")


if __name__ == "__main__":
    main(*sys.argv[1:])
