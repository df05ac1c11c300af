"""Sums the functions of a callgrind_annotate listing (stdin) by part of the geometry at all queries,
for each query and head. Arguments: tokens, heads, set sizes. Called by scripts/instructions."""

import re
import sys

HEAD_DIM = 128
PANEL = 64  # value vectors are padded to whole panels
LANES = 8  # of float32 in AVX2

PARTS = {
    "inner products with the aggregates, float32": r"row_block<|panel_products",
    "aggregates, float64": r"add_weighted_values|squared_length|scale_to_float",
    "the first 256 in order": r"count_before|pack_indices|find_threshold|TopN::|Selection<|split_in_half",
    "bounds of scores, counts": r"bound_scores|collect_columns|count_bounds|euclidean_terms",
    "what float64 decides": r"value_product\(|exact_score",
    "the rest of the geometry": r"HeadGeometry|BoundedSeparation|ValueVectors|GeometryObserver",
}


def main():
    tokens, heads = int(sys.argv[1]), int(sys.argv[2])
    sizes = [int(size) for size in sys.argv[3].split(",")]
    sums = dict.fromkeys(PARTS, 0)
    total = 0
    for line in sys.stdin:
        match = re.match(r"\s*([\d,]+) \([ \d.]+%\)\s+(\S.*)", line)
        if not match or "PROGRAM TOTALS" in line:
            continue
        count = int(match[1].replace(",", ""))
        total += count
        for part, pattern in PARTS.items():
            if "toplens" in match[2] and re.search(pattern, match[2]):
                sums[part] += count
                break
    cells = tokens * heads
    multiply_adds = 0
    for query in range(tokens):
        visible = query + 1
        defined = sum(size < visible for size in sizes)
        multiply_adds += defined * -(-visible // PANEL) * PANEL * HEAD_DIM / LANES
    measured = sum(sums.values())
    print("| part | instructions per query and head | share |\n|---|---:|---:|")
    for part, count in sums.items():
        print(f"| {part} | {count / cells:.0f} | {100 * count / measured:.0f}% |")
    print(f"| all | {measured / cells:.0f} | 100% |")
    products = sums["inner products with the aggregates, float32"]
    print(f"\nThe inner products alone are {multiply_adds / tokens:.0f} multiply-adds of {LANES} floats for "
          f"each query and head: {products / heads / multiply_adds:.2f} instructions for one.")
    print(f"The whole command took {total / 1e6:.0f} million instructions.")


main()
