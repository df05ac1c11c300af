#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/name_table.h"
#include "intervention/experiment.h"
#include "intervention/loss_protocol.h"
#include "results/dataset.h"
#include "statistics/bootstrap.h"

namespace toplens {

/// The loss of one intervention at one set size and context length: a row of interventions.csv.
struct InterventionRecord {
  std::optional<SizedIntervention> treatment;  ///< none: the untreated model
  int context_length = 0;
  std::vector<double> document_nll;  ///< nats per token, in the order of the documents
  double relative_change = 0;        ///< theory.md (31)
  std::optional<Interval> interval;  ///< 95%, bootstrap over documents; none for one document
  std::uint64_t rows_without_mass = 0;
};

/// A row of needed_sizes.csv.
struct NeededSizeRecord {
  NeededSize needed;
  int context_length = 0;
  double relative_change = 0;        ///< at the needed size; 0 where that is the context length
  std::optional<Interval> interval;  ///< of the size, 95%, conditional on the evaluated sizes
};

/// One layer or one head at a time.
enum class Scan { none, layers, heads };

inline constexpr std::array<NamedKind<Scan>, 2> kScanNames = {{
    {Scan::layers, "layers"},
    {Scan::heads, "heads"},
}};

struct InterventionResults {
  Scan scan = Scan::none;
  int num_layers = 0;
  int num_query_heads = 0;
  LossProtocol protocol;
  std::vector<std::string> documents;  ///< labels
  std::vector<InterventionRecord> records;
  std::vector<NeededSizeRecord> needed_sizes;
};

/// Everything evaluated in `experiment` of these interventions, the untreated model first, and N*
/// of `needed`, appended to `results`.
void append_results(const Experiment& experiment, std::span<const Intervention> interventions,
                    std::span<const NeededSize> needed, int context_length, std::uint64_t seed,
                    InterventionResults& results);

/// interventions.csv and needed_sizes.csv (docs/definitions.md).
std::string interventions_csv(const InterventionResults& results);
std::string needed_sizes_csv(const InterventionResults& results);

/// interventions.nc: the same by evaluation and document, and the layer x head tables of a scan.
Dataset make_interventions_dataset(const InterventionResults& results);

/// Where an interval is missing: why, in words; else "".
std::string interval_reason(const std::optional<Interval>& interval);

}  // namespace toplens
