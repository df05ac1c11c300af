#!/usr/bin/python3
"""Simulated scaling of `mpirun -n R toplens analyze` from two measured runs, as a Markdown table.

    bench/cluster_scaling.py --one DIR --ranks DIR [--documents D] [--repeat-layers K] [--rank-speed F]

--one is a run directory of one process: seconds per document (`measure`). --ranks is one of another
number of documents on several ranks: bytes of parts per document, and what rank 0 needed to receive and
write a byte. Pooling is a line through both runs' seconds. --repeat-layers: as if the model had K times
the layers that it has; --rank-speed: as if a rank (a node) computed F times as fast as the one measured.

Simulated is what the program does: ranks take parts in order, one at a time; a finished part waits
until rank 0, one part after the other, has received and written it; then rank 0 pools alone. Not in
it: MPI's start, the first reading of the weights from the cluster's storage, ranks of unequal speed.
"""

import argparse
import heapq
import json
import pathlib

MOST_DOCUMENTS_PER_PART = 8  # as in src/cli/analysis_setup.h


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--one", type=pathlib.Path, required=True)
    parser.add_argument("--ranks", type=pathlib.Path, required=True)
    parser.add_argument("--documents", type=int, default=8192)
    parser.add_argument("--repeat-layers", type=int, default=1)
    parser.add_argument("--rank-speed", type=float, default=1)
    return parser.parse_args()


def documents_of(run):
    return sum(rank["documents"] for rank in run["ranks"])


def read_costs(one, ranks, repeat_layers, rank_speed):
    """Seconds and bytes per document, the rate of gathering, and pooling as (fixed, per document)."""
    seconds = one["timings"]["wall_seconds"]
    gathered = ranks["gathered"]
    sent = sum(rank["documents"] for rank in ranks["ranks"][1:])
    few, many = documents_of(one), documents_of(ranks)
    if len(one["ranks"]) != 1 or sent == 0 or few == 0 or many <= few:
        raise SystemExit("--one must be a run of one process and --ranks one of several with more documents")
    pool, pool_many = seconds["pool"], ranks["timings"]["wall_seconds"]["pool"]
    per_document = max(0.0, (pool_many - pool) / (many - few))
    return {
        "prepare": seconds["prepare"],
        "measure": repeat_layers * seconds["measure"] / few / rank_speed,
        "pool": (repeat_layers * max(0.0, pool - few * per_document), repeat_layers * per_document),
        "bytes": repeat_layers * gathered["bytes"] / sent,
        "rate": gathered["bytes"] / gathered["seconds"],
    }


def simulate(documents, ranks, costs):
    """Seconds until the last part is written, and the share of them that rank 0 spent gathering."""
    per_part = min(MOST_DOCUMENTS_PER_PART, max(1, -(-documents // (2 * ranks))))
    if ranks == 1:
        per_part = MOST_DOCUMENTS_PER_PART
    parts = [min(per_part, documents - first) for first in range(0, documents, per_part)]
    free = [(0.0, rank) for rank in range(ranks)]  # when each rank takes its next part
    heapq.heapify(free)
    computed = []  # (when, rank, documents)
    end, gather_free, gathering = 0.0, 0.0, 0.0
    next_part = 0
    while next_part < len(parts) or computed:
        # What happens first: a rank takes a part, or rank 0 receives the earliest finished one.
        if next_part < len(parts) and free and (not computed or free[0][0] <= computed[0][0]):
            start, rank = heapq.heappop(free)
            heapq.heappush(computed, (start + parts[next_part] * costs["measure"], rank, parts[next_part]))
            next_part += 1
            continue
        when, rank, size = heapq.heappop(computed)
        if rank > 0:
            cost = size * costs["bytes"] / costs["rate"]
            when = gather_free = max(when, gather_free) + cost
            gathering += cost
        end = max(end, when)
        heapq.heappush(free, (when, rank))
    return per_part, end, gathering / end


def main():
    arguments = parse_arguments()
    one = json.loads((arguments.one / "run.json").read_text())
    ranks = json.loads((arguments.ranks / "run.json").read_text())
    costs = read_costs(one, ranks, arguments.repeat_layers, arguments.rank_speed)
    fixed, per_document = costs["pool"]
    pooling = fixed + per_document * arguments.documents
    print(
        f"Per document {costs['measure']:.2f} s of a rank and {costs['bytes'] / 1e6:.1f} MB of parts, gathered at "
        f"{costs['rate'] / 1e6:.0f} MB/s;\npooling {fixed:.1f} s + {1000 * per_document:.1f} ms per document = "
        f"{pooling:.0f} s; {costs['prepare']:.1f} s before the first document.\n"
    )
    print(f"| ranks | documents per part | {arguments.documents} documents | efficiency "
          "| rank 0 gathers | with pooling | speed-up with it |")
    print("|---|---|---|---|---|---|---|")
    alone = None
    for count in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024):
        per_part, seconds, share = simulate(arguments.documents, count, costs)
        seconds += costs["prepare"]
        alone = alone or seconds
        print(f"| {count} | {per_part} | {seconds:.0f} s | {alone / seconds / count:.0%} | {share:.0%} of the time "
              f"| {seconds + pooling:.0f} s | {(alone + pooling) / (seconds + pooling):.1f} |")


if __name__ == "__main__":
    main()
